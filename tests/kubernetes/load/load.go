// Calls GetLivenessResult at a steady rate, with clients of several settings at the same time, until
// standard input ends. For each line of input, prints as JSON how many calls have completed since the
// start, and how many of them failed with which error.
//
//	load ADDRESS SETTINGS SESSION [PENDING_SESSION [CA]]
//
// SETTINGS is a JSON object with a service config, or null, for each name. Each client also waits for
// PENDING_SESSION, and these calls are counted as "waits". CA is a certificate in PEM; without it, the
// clients connect in plaintext. It is built in clients/go, whose modules and stubs it uses.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // Without it, grpc-go ignores healthCheckConfig.
	"google.golang.org/protobuf/types/known/durationpb"

	pb "example.com/caller/gen/faceliveness/v1"
)

const (
	connections  = 2 // Of each client: kube-proxy chooses a pod for each of them.
	interval     = 100 * time.Millisecond
	waitInterval = time.Second
	wait         = 10 * time.Second
	timeout      = 5 * time.Second // Of a call, in addition to its wait.
)

// The times in messages, without which the same errors are the same text.
var digits = regexp.MustCompile(`\d+`)

type count struct {
	Calls  int            `json:"calls"`
	Failed map[string]int `json:"failed"`
}

type report struct {
	mutex  sync.Mutex
	counts map[string]*count
}

func (r *report) add(name string, err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	counted := r.counts[name]
	if counted == nil {
		counted = &count{Failed: map[string]int{}}
		r.counts[name] = counted
	}
	counted.Calls++
	if err != nil {
		counted.Failed[digits.ReplaceAllString(err.Error(), "#")]++
	}
}

func (r *report) print() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	text, err := json.Marshal(r.counts)
	must(err)
	fmt.Println(string(text))
}

func main() {
	arguments := append(os.Args[1:], "", "")
	address, session, pending, ca := arguments[0], arguments[2], arguments[3], arguments[4]
	var settings map[string]json.RawMessage
	must(json.Unmarshal([]byte(arguments[1]), &settings))
	counts := report{counts: map[string]*count{}}
	for name, config := range settings {
		options := []grpc.DialOption{grpc.WithTransportCredentials(transport(ca))}
		if string(config) != "null" {
			options = append(options, grpc.WithDefaultServiceConfig(string(config)))
		}
		for range connections {
			conn, err := grpc.NewClient(address, options...)
			must(err)
			client := pb.NewFaceLivenessServiceClient(conn)
			go load(client, session, 0, interval, func(err error) { counts.add(name, err) })
			if pending != "" {
				go load(client, pending, wait, waitInterval, func(err error) { counts.add("waits", err) })
			}
		}
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		counts.print()
	}
}

func transport(ca string) credentials.TransportCredentials {
	if ca == "" {
		return insecure.NewCredentials()
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	return credentials.NewTLS(&tls.Config{RootCAs: roots})
}

// A slow call does not delay the next one.
func load(client pb.FaceLivenessServiceClient, session string, wait, interval time.Duration, add func(error)) {
	request := &pb.GetLivenessResultRequest{SessionId: session, Wait: durationpb.New(wait)}
	for range time.Tick(interval) {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), wait+timeout)
			defer cancel()
			_, err := client.GetLivenessResult(ctx, request)
			add(err)
		}()
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
