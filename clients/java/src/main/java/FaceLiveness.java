import com.google.gson.Gson;
import com.google.protobuf.Duration;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import faceliveness.v1.FaceLivenessServiceGrpc;
import faceliveness.v1.FaceLivenessServiceGrpc.FaceLivenessServiceBlockingStub;
import faceliveness.v1.GetLivenessResultRequest;
import faceliveness.v1.Verdict;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * Gets the verdict of an Amazon Rekognition Face Liveness session. Exits 0 only if the person is
 * live.
 *
 * <pre>mvn -q compile exec:java \
 *     -Dexec.args="[ADDRESS [SESSION_ID [WAIT_SECONDS [MAX_RESULT_AGE_SECONDS]]]]"</pre>
 */
public final class FaceLiveness {
  // On AWS's scale of 0 to 100. A higher threshold of the service takes precedence.
  private static final float MIN_CONFIDENCE = 80;

  // Seconds of a call in addition to its wait: for a read from AWS, and retries.
  private static final long TIME_TO_RESPOND = 5;

  private static final Metadata.Key<String> ROUTE =
      Metadata.Key.of("x-face-liveness-route", Metadata.ASCII_STRING_MARSHALLER);

  /** The next step of the caller. */
  enum Action {
    LIVE("live"),
    NOT_LIVE("not live"),
    CALL_AGAIN("pending: ask again"),
    NEW_SESSION("offer a new session"),
    FIX_CALL("fix the call"),
    TELL_OPERATOR("tell the operator"),
    RETRY_LATER("retry later"),
    ANOTHER_REPLICA("ask another replica");

    private final String words;

    Action(String words) {
      this.words = words;
    }
  }

  /**
   * An action and its reason.
   *
   * @param reason why there is no verdict, or null if there is one
   * @param retryAfter the delay before a retry, or null if the service sends none
   */
  record Decision(Action action, String reason, Duration retryAfter) {
    Decision(Action action) {
      this(action, null, null);
    }

    @Override
    public String toString() {
      var text = action.words;
      if (reason != null) {
        text += ": " + reason;
      }
      if (retryAfter != null) {
        text += "; try again in %.1f s".formatted(seconds(retryAfter));
      }
      return text;
    }
  }

  /**
   * Gets the verdict of a session, and waits that many seconds for a final status. A result that
   * the service first read more than maxResultAge seconds ago does not count as live. The library
   * retries as the service config says, within one deadline.
   */
  static Decision faceLiveness(
      FaceLivenessServiceBlockingStub stub, String sessionId, long wait, long maxResultAge) {
    // For meshes that choose the replica by the hash of a header, so that all calls of a session
    // reach one replica. A hash and not the id, because access logs record headers.
    var headers = new Metadata();
    headers.put(ROUTE, HexFormat.of().formatHex(sha256(sessionId), 0, 8));
    var request =
        GetLivenessResultRequest.newBuilder()
            .setSessionId(sessionId)
            .setWait(Duration.newBuilder().setSeconds(wait))
            .setMinConfidence(MIN_CONFIDENCE)
            .setMaxResultAge(Duration.newBuilder().setSeconds(maxResultAge))
            .build();
    try {
      var response =
          stub.withDeadlineAfter(wait + TIME_TO_RESPOND, TimeUnit.SECONDS)
              .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
              .getLivenessResult(request);
      return afterVerdict(response.getVerdict());
    } catch (StatusRuntimeException error) {
      return afterError(error);
    }
  }

  /** Only VERDICT_LIVE means live, also if verdicts are added. */
  private static Decision afterVerdict(Verdict verdict) {
    return switch (verdict) {
      case VERDICT_LIVE -> new Decision(Action.LIVE);
      case VERDICT_NOT_LIVE -> new Decision(Action.NOT_LIVE);
      case VERDICT_PENDING -> new Decision(Action.CALL_AGAIN);
      case VERDICT_INCONCLUSIVE, VERDICT_TOO_OLD ->
          new Decision(Action.NEW_SESSION, verdict.name(), null);
      default -> new Decision(Action.TELL_OPERATOR, verdict.name(), null);
    };
  }

  private static Decision afterError(StatusRuntimeException error) {
    var code = error.getStatus().getCode();
    // An error without ErrorInfo comes from the library or from a proxy. It has only a code.
    var reason = code.name();
    Duration retryAfter = null;
    try {
      for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          reason = detail.unpack(ErrorInfo.class).getReason();
        } else if (detail.is(RetryInfo.class)) {
          retryAfter = detail.unpack(RetryInfo.class).getRetryDelay();
        }
      }
    } catch (InvalidProtocolBufferException notOfTheService) {
      // This error has only a code, too.
    }
    return new Decision(whatToDo(reason, code), reason, retryAfter);
  }

  private static Action whatToDo(String reason, Status.Code code) {
    return switch (reason) {
      case "SESSION_NOT_FOUND", "SESSION_GONE" -> Action.NEW_SESSION;
      case "INVALID_REQUEST", "UPSTREAM_INVALID_PARAMETER", "IMAGES_NOT_ALLOWED" ->
          Action.FIX_CALL;
      case "CLIENT_NOT_ALLOWED", "UPSTREAM_ACCESS_DENIED", "UPSTREAM_CREDENTIALS" ->
          Action.TELL_OPERATOR;
      case "UPSTREAM_MALFORMED", "INTERNAL", "UPSTREAM_UNKNOWN" -> Action.TELL_OPERATOR;
      case "UPSTREAM_THROTTLED", "QUOTA_EXHAUSTED", "OVERLOADED" -> Action.RETRY_LATER;
      case "UPSTREAM_UNAVAILABLE", "UPSTREAM_TIMEOUT" -> Action.RETRY_LATER;
      case "DEADLINE_EXCEEDED" -> Action.RETRY_LATER; // With more time.
      case "SHUTTING_DOWN" -> Action.ANOTHER_REPLICA;
      // An unknown reason, or none.
      default ->
          switch (code) {
            case UNAVAILABLE, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED -> Action.RETRY_LATER;
            default -> Action.TELL_OPERATOR;
          };
    };
  }

  private static double seconds(Duration duration) {
    return duration.getSeconds() + duration.getNanos() / 1e9;
  }

  private static byte[] sha256(String text) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
    } catch (NoSuchAlgorithmException impossible) {
      throw new AssertionError("every Java has SHA-256", impossible);
    }
  }

  // Use one channel for the lifetime of a service: calls share its connections and the
  // throttling of retries.
  private static ManagedChannel channel(String address) throws IOException {
    // TLS: TlsChannelCredentials.newBuilder().trustManager(...).build(); mutual TLS: with
    // keyManager(...), too.
    return Grpc.newChannelBuilder(address, InsecureChannelCredentials.create())
        .defaultServiceConfig(serviceConfig())
        // Detects a replica that disappears without closing the connection.
        .keepAliveTime(60, TimeUnit.SECONDS)
        .keepAliveTimeout(20, TimeUnit.SECONDS)
        .build();
  }

  /** Retries and load balancing, the same for every language. */
  @SuppressWarnings("unchecked")
  private static Map<String, ?> serviceConfig() throws IOException {
    try (var file = FaceLiveness.class.getResourceAsStream("/service-config.json")) {
      return new Gson().fromJson(new InputStreamReader(file, StandardCharsets.UTF_8), Map.class);
    }
  }

  public static void main(String[] args) throws IOException {
    var address = args.length > 0 ? args[0] : "127.0.0.1:50051";
    var sessionId = args.length > 1 ? args[1] : "facade00-0000-4000-8000-000000000001";
    var wait = args.length > 2 ? Long.parseLong(args[2]) : 5;
    var maxResultAge = args.length > 3 ? Long.parseLong(args[3]) : 300;
    var channel = channel(address);
    var stub = FaceLivenessServiceGrpc.newBlockingStub(channel);
    var decision = faceLiveness(stub, sessionId, wait, maxResultAge);
    channel.shutdownNow();
    System.out.println(decision);
    System.exit(decision.action() == Action.LIVE ? 0 : 1);
  }
}
