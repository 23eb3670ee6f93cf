import com.google.common.util.concurrent.FutureCallback;
import com.google.common.util.concurrent.Futures;
import com.google.common.util.concurrent.MoreExecutors;
import com.google.gson.Gson;
import com.google.protobuf.Duration;
import faceliveness.v1.FaceLivenessServiceGrpc;
import faceliveness.v1.FaceLivenessServiceGrpc.FaceLivenessServiceFutureStub;
import faceliveness.v1.GetLivenessResultRequest;
import faceliveness.v1.GetLivenessResultResponse;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.Scanner;
import java.util.TreeMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * The same load as load.go, with the same arguments, input and output. It is compiled in
 * clients/java, whose dependencies and stubs it uses.
 */
public final class Load {
  private static final int CONNECTIONS = 2;
  private static final long INTERVAL_MS = 100;
  private static final long WAIT_INTERVAL_MS = 1000;
  private static final long WAIT_SECONDS = 10;

  // Of a call, in addition to its wait.
  private static final long TIMEOUT_SECONDS = 5;

  private static final ScheduledExecutorService TIMER = Executors.newScheduledThreadPool(1);

  /** Completed and failed calls. */
  private static final class Count {
    private int calls;
    private final Map<String, Integer> failed = new TreeMap<>();
  }

  private static final Map<String, Count> COUNTS = new TreeMap<>();

  private static void add(String name, Throwable error) {
    synchronized (COUNTS) {
      var count = COUNTS.computeIfAbsent(name, any -> new Count());
      count.calls++;
      if (error != null) {
        var cause = error.getCause() == null ? "" : " (" + error.getCause().getMessage() + ")";
        // Without the times in messages, the same errors are the same text.
        var text = (error.getMessage() + cause).replaceAll("\\d+", "#");
        count.failed.merge(text, 1, Integer::sum);
      }
    }
  }

  private static void load(
      FaceLivenessServiceFutureStub stub, String session, long wait, long interval, String name) {
    var request =
        GetLivenessResultRequest.newBuilder()
            .setSessionId(session)
            .setWait(Duration.newBuilder().setSeconds(wait))
            .build();
    Runnable call =
        () ->
            Futures.addCallback(
                stub.withDeadlineAfter(wait + TIMEOUT_SECONDS, TimeUnit.SECONDS)
                    .getLivenessResult(request),
                new FutureCallback<GetLivenessResultResponse>() {
                  @Override
                  public void onSuccess(GetLivenessResultResponse response) {
                    add(name, null);
                  }

                  @Override
                  public void onFailure(Throwable error) {
                    add(name, error);
                  }
                },
                MoreExecutors.directExecutor());
    TIMER.scheduleAtFixedRate(call, interval, interval, TimeUnit.MILLISECONDS);
  }

  private static ChannelCredentials credentials(String ca) throws IOException {
    if (ca.isEmpty()) {
      return InsecureChannelCredentials.create();
    }
    var certificate = new ByteArrayInputStream(ca.getBytes(StandardCharsets.US_ASCII));
    return TlsChannelCredentials.newBuilder().trustManager(certificate).build();
  }

  @SuppressWarnings("unchecked")
  public static void main(String[] args) throws IOException {
    var arguments = Arrays.copyOf(args, 5);
    var address = arguments[0];
    var pending = arguments[3];
    var ca = arguments[4] == null ? "" : arguments[4];
    var settings = (Map<String, Map<String, ?>>) new Gson().fromJson(arguments[1], Map.class);
    for (var setting : settings.entrySet()) {
      for (var connection = 0; connection < CONNECTIONS; connection++) {
        var channel = Grpc.newChannelBuilder(address, credentials(ca));
        if (setting.getValue() != null) {
          channel.defaultServiceConfig(setting.getValue());
        }
        var stub = FaceLivenessServiceGrpc.newFutureStub(channel.build());
        load(stub, arguments[2], 0, INTERVAL_MS, setting.getKey());
        if (pending != null && !pending.isEmpty()) {
          load(stub, pending, WAIT_SECONDS, WAIT_INTERVAL_MS, "waits");
        }
      }
    }
    for (var lines = new Scanner(System.in); lines.hasNextLine(); lines.nextLine()) {
      synchronized (COUNTS) {
        System.out.println(new Gson().toJson(COUNTS));
      }
    }
    System.exit(0);
  }
}
