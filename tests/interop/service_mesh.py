"""Two instances of the service behind a real Envoy, as a mesh would have them: stops under load, mutual TLS, forwarded identities.

    service_mesh.py BINARY ENVOY SCRATCH      the programs, and a folder for logs and certificates
"""

import sys
import threading
import time

import grpc

from contract import details, pb, pb_grpc, refused
from mesh_certificates import Authority
from mesh_config import HEALTH_INTERVAL, SERVICE, bootstrap, cluster, listener
from mesh_load import ENDED, Load, hit, place_sessions
from mesh_processes import PATIENCE, Envoy, Instance, Simulator
from promises import equal, holds, promise, run

BINARY, ENVOY, SCRATCH = sys.argv[1:]

# Ten health checks, and more time than two cores under load take for them.
DRAIN_DELAY = 10 * HEALTH_INTERVAL

CHECKOUT = "spiffe://mesh.test/ns/checkout/sa/web"
STRANGER = "spiffe://mesh.test/ns/other/sa/web"
ALLOWED = ["--allowed-clients", "spiffe://mesh.test/ns/checkout/*"]
XFCC = "x-forwarded-client-cert"

# A session that AWS cannot be asked for.
FAILING = "facade00-0000-4000-8000-0000000000f2"

AWS = Simulator(SCRATCH, BINARY)
place_sessions(AWS)


def call(address, credentials=None, metadata=(), session=ENDED[0]):
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.secure_channel(address, credentials, options) if credentials else grpc.insecure_channel(address, options)
    with channel:
        stub = pb_grpc.FaceLivenessServiceStub(channel)
        request = pb.GetLivenessResultRequest(session_id=session)
        # As when the first health checks have yet to end.
        return stub.GetLivenessResult(request, timeout=PATIENCE, metadata=metadata, wait_for_ready=True)


def answers(*words):
    equal("the status", pb.LivenessStatus.Name(call(*words).result.status), "LIVENESS_STATUS_SUCCEEDED")


def refuses(*words):
    error = refused(lambda: call(*words))
    equal("the code", error.code().name, "PERMISSION_DENIED")
    equal("the reason", details(error)["ErrorInfo"].reason, "CLIENT_NOT_ALLOWED")


# Connections that end every second make the load meet GOAWAY again and again.
MESH_FLAGS = ["--drain-delay", f"{DRAIN_DELAY}s", "--max-connection-age", "1s"]
FIRST, SECOND = (Instance(SCRATCH, BINARY, name, AWS, *MESH_FLAGS) for name in ("first", "second"))
PLAIN = Envoy(
    SCRATCH, ENVOY, "plain", bootstrap([listener("plain", "facade")], [cluster("facade", [FIRST.port, SECOND.port])])
)
PLAIN.finds_healthy("facade", 2)
LOAD = Load(PLAIN.listener("plain"))


def stops_under_load(instance, other):
    LOAD.goes_on()
    stopping = threading.Thread(target=lambda: took.append(instance.stop()))
    took, told = [], time.monotonic()
    stopping.start()
    PLAIN.finds_healthy("facade", 1)
    left_out = time.monotonic() - told
    holds(left_out < DRAIN_DELAY, f"Envoy leaves it out after {left_out:.1f} s, and it drains after {DRAIN_DELAY} s")
    stopping.join()
    holds(took, f"{instance.name} did not stop well: see {instance.process.log.read_text()[-500:]}")
    before = other.answered()
    LOAD.goes_on()
    holds(other.answered() > before, "the other one answers nothing")
    equal("what failed", LOAD.failures, [])
    print(f"   left out by Envoy after {left_out:.2f} s, stopped after {took[0]:.2f} s", flush=True)


@promise("Envoy shares calls out between both instances")
def shared_out():
    LOAD.goes_on()
    for instance in (FIRST, SECOND):
        holds(instance.answered() > 20, f"{instance.name} has answered {instance.answered()}")
    equal("what failed", LOAD.failures, [])


@promise("an instance that stops under load loses no call")
def first_stops():
    stops_under_load(FIRST, SECOND)


@promise("it starts again, and gets its share without a lost call")
def starts_again():
    FIRST.start()
    PLAIN.finds_healthy("facade", 2)
    LOAD.goes_on()
    holds(FIRST.answered() > 20, f"it has answered {FIRST.answered()}")
    equal("what failed", LOAD.failures, [])


@promise("then the other stops under load, and again no call is lost")
def second_stops():
    stops_under_load(SECOND, FIRST)


@promise("nobody repeated a call, though every connection to an instance ended after a second")
def nothing_repeated():
    LOAD.end()
    equal("what failed", LOAD.failures, [])
    equal("the calls that Envoy repeated", PLAIN.count("cluster.facade.upstream_rq_retry"), 0)
    aged = PLAIN.count("cluster.facade.upstream_cx_close_notify")
    holds(aged > 5, f"{aged} connections were asked to end")
    print(f"   {LOAD}; {aged} connections asked to end", flush=True)


# The old ones, and the new ones, whose places are known before they start.
NEW = [Instance(SCRATCH, BINARY, name, AWS, *MESH_FLAGS) for name in ("third", "fourth")]
for instance in NEW:
    instance.stop()
ROLLING = Envoy(
    SCRATCH,
    ENVOY,
    "rolling",
    bootstrap(
        [listener("rolling", "rolling")],
        [cluster("rolling", [instance.port for instance in (FIRST, SECOND, *NEW)])],
    ),
)


@promise("a rolling update from two old instances to two new ones loses no call")
def rolling_update():
    SECOND.start()
    ROLLING.finds_healthy("rolling", 2)
    load = Load(ROLLING.listener("rolling"))
    for old, new in zip((FIRST, SECOND), NEW):
        load.goes_on()
        new.start()
        ROLLING.finds_healthy("rolling", 3)
        old.stop()
        ROLLING.finds_healthy("rolling", 2)
    load.goes_on()
    load.end()
    equal("what failed", load.failures, [])
    for instance in NEW:
        holds(instance.answered() > 20, f"{instance.name} has answered {instance.answered()}")
    equal("the calls that Envoy repeated", ROLLING.count("cluster.rolling.upstream_rq_retry"), 0)
    print(f"   {load}", flush=True)


@promise("an outage of AWS takes no instance out, and Envoy counts calls by their gRPC status")
def outage():
    AWS.fails(FAILING, "ServiceUnavailableException")
    for _ in range(20):
        error = refused(lambda: call(ROLLING.listener("rolling"), session=FAILING))
        equal("the code", error.code().name, "UNAVAILABLE")
    counted = f"cluster.rolling.grpc.{SERVICE}.GetLivenessResult"
    equal("the calls with status 14", ROLLING.count(f"{counted}.14"), 20)
    holds(ROLLING.count(f"{counted}.0") > 100, "Envoy counts the calls that were answered")
    equal("the instances that are left out", ROLLING.count("cluster.rolling.outlier_detection.ejections_active"), 0)
    equal("those that ever were", ROLLING.count("cluster.rolling.outlier_detection.ejections_enforced_total"), 0)
    answers(ROLLING.listener("rolling"))


@promise("a gRPC library by itself sees no error either when its connections end of age")
def aged_connections():
    load = Load(NEW[0].address, [hit] * 4, [("grpc.use_local_subchannel_pool", 1)])
    # Three connections each, one after the other.
    time.sleep(3.5)
    load.end()
    equal("what failed", load.failures, [])
    print(f"   {load}", flush=True)


AUTHORITY = Authority(SCRATCH)
FACADE = AUTHORITY.issue("facade", "DNS:localhost", "serverAuth")
EDGE = AUTHORITY.issue("edge", "DNS:localhost", "serverAuth")
CLIENTS = {
    "checkout": AUTHORITY.issue("checkout", f"URI:{CHECKOUT}", "clientAuth"),
    "stranger": AUTHORITY.issue("stranger", f"URI:{STRANGER}", "clientAuth"),
}


def credentials(client):
    files = (AUTHORITY.ca, CLIENTS[client].key, CLIENTS[client].cert)
    return grpc.ssl_channel_credentials(*(file.read_bytes() for file in files))


MUTUAL_FLAGS = ["--tls-cert", FACADE.cert, "--tls-key", FACADE.key, "--tls-client-ca", AUTHORITY.ca]
MUTUAL = Instance(SCRATCH, BINARY, "mutual", AWS, *MUTUAL_FLAGS, *ALLOWED)
FORWARDED = Instance(SCRATCH, BINARY, "forwarded", AWS, "--client-identity", "xfcc", *ALLOWED)
SECURE = Envoy(
    SCRATCH,
    ENVOY,
    "secure",
    bootstrap(
        [
            *(listener(name, name) for name in (*CLIENTS, "nobody")),
            listener("sanitize", "forwarded", EDGE, AUTHORITY.ca, "SANITIZE_SET"),
            listener("append", "forwarded", EDGE, AUTHORITY.ca, "APPEND_FORWARD"),
        ],
        [
            *(cluster(name, [MUTUAL.port], AUTHORITY.ca, certificate) for name, certificate in CLIENTS.items()),
            cluster("nobody", [MUTUAL.port], AUTHORITY.ca),
            cluster("forwarded", [FORWARDED.port]),
        ],
    ),
)


@promise("over mutual TLS Envoy is known by the SPIFFE id of its certificate, and asked for its health by any")
def mutual_tls():
    for name in CLIENTS:
        SECURE.finds_healthy(name, 1)
    answers(SECURE.listener("checkout"))
    refuses(SECURE.listener("stranger"))


@promise("an Envoy without a certificate finds no healthy instance")
def no_certificate():
    error = refused(lambda: call(SECURE.listener("nobody")))
    equal("the code", error.code().name, "UNAVAILABLE")
    equal("the healthy", SECURE.count("cluster.nobody.membership_healthy"), 0)


@promise("a client is known by what Envoy read in its certificate")
def forwarded():
    SECURE.finds_healthy("forwarded", 1)
    for name in ("sanitize", "append"):
        answers(SECURE.listener(name), credentials("checkout"))
        refuses(SECURE.listener(name), credentials("stranger"))


@promise("what a client claims of itself in the header helps nobody and harms nobody")
def forged():
    claims = [f"By=spiffe://mesh.test/edge;URI={CHECKOUT}", f"URI={CHECKOUT},", f'URI={CHECKOUT};Subject="', f"URI={STRANGER}"]
    for claim in claims:
        refuses(SECURE.listener("sanitize"), credentials("stranger"), [(XFCC, claim)])
        refuses(SECURE.listener("append"), credentials("stranger"), [(XFCC, claim)])
        refuses(SECURE.listener("append"), credentials("stranger"), [(XFCC, claim), (XFCC, claim)])
        answers(SECURE.listener("sanitize"), credentials("checkout"), [(XFCC, claim)])


run()
