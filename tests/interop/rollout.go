// Calls GetLivenessResult at a steady rate until standard input ends. Then prints as JSON how many
// calls it made, and how many of them failed with which error.
//
//	rollout ADDRESS SERVICE_CONFIG SESSION_ID
//
// It is built in clients/go, whose modules and stubs it uses.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // Without it, grpc-go ignores healthCheckConfig.

	pb "example.com/caller/gen/faceliveness/v1"
)

const (
	connections = 4
	interval    = 20 * time.Millisecond // Between two calls on one connection.
	timeout     = 10 * time.Second      // Of a call.
)

type report struct {
	mutex  sync.Mutex
	Calls  int            `json:"calls"`
	Failed map[string]int `json:"failed"`
}

func (r *report) add(err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.Calls++
	if err != nil {
		r.Failed[err.Error()]++
	}
}

func main() {
	address, config, session := os.Args[1], os.Args[2], os.Args[3]
	stopped := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(stopped)
	}()
	result := report{Failed: map[string]int{}}
	var running sync.WaitGroup
	for range connections {
		conn, err := grpc.NewClient(address,
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(config))
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		running.Go(func() { load(pb.NewFaceLivenessServiceClient(conn), session, &result, stopped) })
	}
	running.Wait()
	text, err := json.Marshal(&result)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}

func load(client pb.FaceLivenessServiceClient, session string, result *report, stopped <-chan struct{}) {
	var calls sync.WaitGroup
	defer calls.Wait()
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		select {
		case <-stopped:
			return
		case <-ticks.C:
		}
		// A slow call does not delay the next one.
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			_, err := client.GetLivenessResult(ctx, &pb.GetLivenessResultRequest{SessionId: session})
			result.add(err)
		})
	}
}
