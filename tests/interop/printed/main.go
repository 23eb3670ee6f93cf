// Prints as JSON what the ways to log a response print, and what clients/README.md advises instead.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"

	pb "example.com/caller/gen/faceliveness/v1"
)

func main() {
	conn, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request := &pb.GetLivenessResultRequest{SessionId: os.Args[2], View: pb.ResultView_RESULT_VIEW_FULL}
	response, err := pb.NewFaceLivenessServiceClient(conn).GetLivenessResult(ctx, request)
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(map[string]string{
		"%v":        fmt.Sprintf("%v", response),
		"String()":  response.String(),
		"prototext": prototext.Format(response),
		"protojson": protojson.Format(response),
		"redacted":  fmt.Sprint(redacted(response)),
		"advised":   fmt.Sprintln(response.GetVerdict(), response.GetResult().GetStatus()),
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}
