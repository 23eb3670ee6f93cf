// Gets the verdict of an Amazon Rekognition Face Liveness session. Exits 0 only if the person is live.
//
//	go generate    # the first time builds buf, which takes a few minutes
//	go run . [ADDRESS [SESSION_ID [WAIT_SECONDS [MAX_RESULT_AGE_SECONDS]]]]
package main

//go:generate go run github.com/bufbuild/buf/cmd/buf@v1.75.0 generate
//go:generate cp ../service-config.json gen/

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "example.com/caller/gen/faceliveness/v1"
)

// Retries and load balancing, the same for every language.
//
//go:embed gen/service-config.json
var serviceConfig string

// On AWS's scale of 0 to 100. A higher threshold of the service takes precedence.
const minConfidence = 80

// The time of a call in addition to its wait: for a read from AWS, and retries.
const timeToRespond = 5 * time.Second

// Action is the next step of the caller.
type Action string

const (
	Live           Action = "live"
	NotLive        Action = "not live"
	CallAgain      Action = "pending: ask again"
	NewSession     Action = "offer a new session"
	FixCall        Action = "fix the call"
	TellOperator   Action = "tell the operator"
	RetryLater     Action = "retry later"
	AnotherReplica Action = "ask another replica"
)

// Decision is an action and its reason.
type Decision struct {
	Action     Action
	Reason     string         // Why there is no verdict. Empty if there is one.
	RetryAfter *time.Duration // The delay before a retry, if the service sends one.
}

func (d Decision) String() string {
	text := string(d.Action)
	if d.Reason != "" {
		text += ": " + d.Reason
	}
	if d.RetryAfter != nil {
		text += fmt.Sprintf("; try again in %.1f s", d.RetryAfter.Seconds())
	}
	return text
}

// FaceLiveness gets the verdict of a session, and waits for a final status. A result that the service first read longer
// ago than maxResultAge does not count as live. The library retries as the service config says, within one deadline.
func FaceLiveness(ctx context.Context, client pb.FaceLivenessServiceClient, sessionID string, wait, maxResultAge time.Duration) Decision {
	ctx, cancel := context.WithTimeout(ctx, wait+timeToRespond)
	defer cancel()
	// For meshes that choose the replica by the hash of a header, so that all calls of a session reach one replica.
	// A hash and not the id, because access logs record headers.
	route := sha256.Sum256([]byte(sessionID))
	ctx = metadata.AppendToOutgoingContext(ctx, "x-face-liveness-route", hex.EncodeToString(route[:8]))

	response, err := client.GetLivenessResult(ctx, &pb.GetLivenessResultRequest{
		SessionId:     sessionID,
		Wait:          durationpb.New(wait),
		MinConfidence: proto.Float32(minConfidence),
		MaxResultAge:  durationpb.New(maxResultAge),
	})
	if err != nil {
		return afterError(status.Convert(err))
	}
	return afterVerdict(response.GetVerdict())
}

// Only VERDICT_LIVE means live, also if verdicts are added.
func afterVerdict(verdict pb.Verdict) Decision {
	switch verdict {
	case pb.Verdict_VERDICT_LIVE:
		return Decision{Action: Live}
	case pb.Verdict_VERDICT_NOT_LIVE:
		return Decision{Action: NotLive}
	case pb.Verdict_VERDICT_PENDING:
		return Decision{Action: CallAgain}
	case pb.Verdict_VERDICT_INCONCLUSIVE, pb.Verdict_VERDICT_TOO_OLD:
		return Decision{Action: NewSession, Reason: verdict.String()}
	default:
		return Decision{Action: TellOperator, Reason: verdict.String()}
	}
}

func afterError(failure *status.Status) Decision {
	// An error without ErrorInfo comes from the library or from a proxy. It has only a code.
	decision := Decision{Reason: code.Code(failure.Code()).String()}
	for _, detail := range failure.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			decision.Reason = detail.GetReason()
		case *errdetails.RetryInfo:
			delay := detail.GetRetryDelay().AsDuration()
			decision.RetryAfter = &delay
		}
	}
	decision.Action = whatToDo(decision.Reason, failure.Code())
	return decision
}

func whatToDo(reason string, code codes.Code) Action {
	switch reason {
	case "SESSION_NOT_FOUND", "SESSION_GONE":
		return NewSession
	case "INVALID_REQUEST", "UPSTREAM_INVALID_PARAMETER", "IMAGES_NOT_ALLOWED":
		return FixCall
	case "CLIENT_NOT_ALLOWED", "UPSTREAM_ACCESS_DENIED", "UPSTREAM_CREDENTIALS":
		return TellOperator
	case "UPSTREAM_MALFORMED", "INTERNAL", "UPSTREAM_UNKNOWN":
		return TellOperator
	case "UPSTREAM_THROTTLED", "QUOTA_EXHAUSTED", "OVERLOADED", "UPSTREAM_UNAVAILABLE", "UPSTREAM_TIMEOUT":
		return RetryLater
	case "DEADLINE_EXCEEDED":
		return RetryLater // With more time.
	case "SHUTTING_DOWN":
		return AnotherReplica
	}
	// An unknown reason, or none.
	switch code {
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded:
		return RetryLater
	default:
		return TellOperator
	}
}

func main() {
	decision, err := ask(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	fmt.Println(decision)
	if decision.Action != Live {
		os.Exit(1)
	}
}

func ask(args []string) (Decision, error) {
	address, sessionID, seconds, maxAge := "127.0.0.1:50051", "facade00-0000-4000-8000-000000000001", "5", "300"
	for i, value := range []*string{&address, &sessionID, &seconds, &maxAge} {
		if i < len(args) {
			*value = args[i]
		}
	}
	wait, err := time.ParseDuration(seconds + "s")
	if err != nil {
		return Decision{}, err
	}
	maxResultAge, err := time.ParseDuration(maxAge + "s")
	if err != nil {
		return Decision{}, err
	}
	// Use one channel for the lifetime of a service: calls share its connections and the
	// throttling of retries.
	conn, err := grpc.NewClient(address,
		// TLS: credentials.NewTLS(&tls.Config{RootCAs: ...}); mutual TLS: with Certificates, too.
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig),
		// Detects a replica that disappears without closing the connection.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 20 * time.Second}),
	)
	if err != nil {
		return Decision{}, err
	}
	defer conn.Close()
	return FaceLiveness(context.Background(), pb.NewFaceLivenessServiceClient(conn), sessionID, wait, maxResultAge), nil
}
