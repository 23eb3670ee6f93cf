import com.google.gson.Gson;
import com.google.protobuf.TextFormat;
import faceliveness.v1.FaceLivenessServiceGrpc;
import faceliveness.v1.GetLivenessResultRequest;
import faceliveness.v1.ResultView;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * Prints as JSON what the ways to log a response print, and what clients/README.md advises
 * instead.
 */
public final class Printed {
  public static void main(String[] args) {
    var channel = Grpc.newChannelBuilder(args[0], InsecureChannelCredentials.create()).build();
    var request =
        GetLivenessResultRequest.newBuilder()
            .setSessionId(args[1])
            .setView(ResultView.RESULT_VIEW_FULL)
            .build();
    var response =
        FaceLivenessServiceGrpc.newBlockingStub(channel)
            .withDeadlineAfter(10, TimeUnit.SECONDS)
            .getLivenessResult(request);
    channel.shutdownNow();
    var advised = List.of(response.getVerdict(), response.getResult().getStatus());
    var ways =
        Map.of(
            "toString()", response.toString(),
            "TextFormat", TextFormat.printer().printToString(response),
            "redacted", Redacted.of(response),
            "advised", advised.toString());
    System.out.println(new Gson().toJson(ways));
  }
}
