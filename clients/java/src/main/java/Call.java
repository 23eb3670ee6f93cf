import com.google.rpc.ErrorInfo;
import faceliveness.v1.FaceLivenessServiceGrpc;
import faceliveness.v1.GetLivenessResultRequest;
import faceliveness.v1.Verdict;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.concurrent.TimeUnit;

public class Call {
    public static void main(String[] args) throws Exception {
        var channel = Grpc.newChannelBuilder("127.0.0.1:50051", InsecureChannelCredentials.create()).build();
        var stub = FaceLivenessServiceGrpc.newBlockingStub(channel).withDeadlineAfter(5, TimeUnit.SECONDS);
        var request = GetLivenessResultRequest.newBuilder()
            .setSessionId("facade00-0000-4000-8000-000000000001").setMinConfidence(80).build();
        try {
            var answer = stub.getLivenessResult(request);
            System.out.println("live: " + (answer.getVerdict() == Verdict.VERDICT_LIVE));
        } catch (StatusRuntimeException error) {
            System.out.println("no answer: " + error.getStatus().getCode());
            for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
                if (detail.is(ErrorInfo.class)) {
                    System.out.println("because of " + detail.unpack(ErrorInfo.class).getReason());
                }
            }
        } finally {
            channel.shutdown();
        }
    }
}
