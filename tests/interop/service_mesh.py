"""Tests two instances of the service behind Envoy, as in a mesh: shutdown under load, mutual TLS, forwarded identities.

    service_mesh.py BINARY ENVOY SCRATCH      the programs, and a folder for logs and certificates
"""

import sys
import threading
import time

import grpc

from contract import details, pb, pb_grpc, expect_error
from mesh_certificates import Authority
from mesh_config import HEALTH_INTERVAL, SERVICE, bootstrap, cluster, listener
from mesh_load import SUCCEEDED_SESSIONS, Load, hit, place_sessions
from mesh_processes import TIMEOUT, Envoy, Instance, Simulator
from checks import equal, require, check, run

BINARY, ENVOY, SCRATCH = sys.argv[1:]

# Ten health checks: enough on a machine with two busy cores.
DRAIN_DELAY = 10 * HEALTH_INTERVAL

CHECKOUT = "spiffe://mesh.test/ns/checkout/sa/web"
OTHER_CLIENT = "spiffe://mesh.test/ns/other/sa/web"
ALLOWED = ["--allowed-clients", "spiffe://mesh.test/ns/checkout/*"]
XFCC = "x-forwarded-client-cert"

# A session whose reads fail.
FAILING = "facade00-0000-4000-8000-0000000000f2"

AWS = Simulator(SCRATCH, BINARY)
place_sessions(AWS)


def call(address, credentials=None, metadata=(), session=SUCCEEDED_SESSIONS[0]):
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.secure_channel(address, credentials, options) if credentials else grpc.insecure_channel(address, options)
    with channel:
        stub = pb_grpc.FaceLivenessServiceStub(channel)
        request = pb.GetLivenessResultRequest(session_id=session)
        # Waits until the first health checks have completed.
        return stub.GetLivenessResult(request, timeout=TIMEOUT, metadata=metadata, wait_for_ready=True)


def assert_allowed(*words):
    equal("the status", pb.LivenessStatus.Name(call(*words).result.status), "LIVENESS_STATUS_SUCCEEDED")


def assert_denied(*words):
    error = expect_error(lambda: call(*words))
    equal("the code", error.code().name, "PERMISSION_DENIED")
    equal("the reason", details(error)["ErrorInfo"].reason, "CLIENT_NOT_ALLOWED")


# With connections of one second, the load receives many GOAWAYs.
MESH_FLAGS = ["--drain-delay", f"{DRAIN_DELAY}s", "--max-connection-age", "1s"]
FIRST, SECOND = (Instance(SCRATCH, BINARY, name, AWS, *MESH_FLAGS) for name in ("first", "second"))
PLAIN = Envoy(
    SCRATCH, ENVOY, "plain", bootstrap([listener("plain", "facade")], [cluster("facade", [FIRST.port, SECOND.port])])
)
PLAIN.wait_for_healthy("facade", 2)
LOAD = Load(PLAIN.listener("plain"))


def assert_graceful_shutdown(instance, other):
    LOAD.advance()
    stopping = threading.Thread(target=lambda: took.append(instance.stop()))
    took, started = [], time.monotonic()
    stopping.start()
    PLAIN.wait_for_healthy("facade", 1)
    removed_after = time.monotonic() - started
    require(removed_after < DRAIN_DELAY, f"Envoy removes it after {removed_after:.1f} s, and it drains after {DRAIN_DELAY} s")
    stopping.join()
    require(took, f"{instance.name} did not shut down: see {instance.process.log.read_text()[-500:]}")
    before = other.completed()
    LOAD.advance()
    require(other.completed() > before, "the other instance gets no calls")
    equal("the failed calls", LOAD.failures, [])
    print(f"   removed by Envoy after {removed_after:.2f} s, stopped after {took[0]:.2f} s", flush=True)


@check("Envoy balances calls over both instances")
def balanced():
    LOAD.advance()
    for instance in (FIRST, SECOND):
        require(instance.completed() > 20, f"{instance.name} has completed {instance.completed()} calls")
    equal("the failed calls", LOAD.failures, [])


@check("an instance that shuts down under load loses no call")
def first_stops():
    assert_graceful_shutdown(FIRST, SECOND)


@check("it starts again and gets calls, without a lost call")
def starts_again():
    FIRST.start()
    PLAIN.wait_for_healthy("facade", 2)
    LOAD.advance()
    require(FIRST.completed() > 20, f"it has completed {FIRST.completed()} calls")
    equal("the failed calls", LOAD.failures, [])


@check("the other instance shuts down under load without a lost call")
def second_stops():
    assert_graceful_shutdown(SECOND, FIRST)


@check("no call was retried, although connections to instances closed after a second")
def nothing_repeated():
    LOAD.end()
    equal("the failed calls", LOAD.failures, [])
    equal("the calls that Envoy retried", PLAIN.count("cluster.facade.upstream_rq_retry"), 0)
    aged = PLAIN.count("cluster.facade.upstream_cx_close_notify")
    require(aged > 5, f"{aged} connections got a GOAWAY")
    print(f"   {LOAD}; {aged} connections got a GOAWAY", flush=True)


# The old instances, and new ones whose ports are known before they start.
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


@check("a rolling update from two old instances to two new ones loses no call")
def rolling_update():
    SECOND.start()
    ROLLING.wait_for_healthy("rolling", 2)
    load = Load(ROLLING.listener("rolling"))
    for old, new in zip((FIRST, SECOND), NEW):
        load.advance()
        new.start()
        ROLLING.wait_for_healthy("rolling", 3)
        old.stop()
        ROLLING.wait_for_healthy("rolling", 2)
    load.advance()
    load.end()
    equal("the failed calls", load.failures, [])
    for instance in NEW:
        require(instance.completed() > 20, f"{instance.name} has completed {instance.completed()} calls")
    equal("the calls that Envoy retried", ROLLING.count("cluster.rolling.upstream_rq_retry"), 0)
    print(f"   {load}", flush=True)


@check("an outage of AWS ejects no instance, and Envoy counts calls by their gRPC status")
def outage():
    AWS.fails(FAILING, "ServiceUnavailableException")
    for _ in range(20):
        error = expect_error(lambda: call(ROLLING.listener("rolling"), session=FAILING))
        equal("the code", error.code().name, "UNAVAILABLE")
    counted = f"cluster.rolling.grpc.{SERVICE}.GetLivenessResult"
    equal("the calls with status 14", ROLLING.count(f"{counted}.14"), 20)
    require(ROLLING.count(f"{counted}.0") > 100, "Envoy does not count the successful calls")
    equal("the ejected instances", ROLLING.count("cluster.rolling.outlier_detection.ejections_active"), 0)
    equal("the ejections so far", ROLLING.count("cluster.rolling.outlier_detection.ejections_enforced_total"), 0)
    assert_allowed(ROLLING.listener("rolling"))


@check("a gRPC client without Envoy sees no error when its connections reach their maximum age")
def aged_connections():
    load = Load(NEW[0].address, [hit] * 4, [("grpc.use_local_subchannel_pool", 1)])
    # Three consecutive connections each.
    time.sleep(3.5)
    load.end()
    equal("the failed calls", load.failures, [])
    print(f"   {load}", flush=True)


AUTHORITY = Authority(SCRATCH)
FACADE = AUTHORITY.issue("facade", "DNS:localhost", "serverAuth")
EDGE = AUTHORITY.issue("edge", "DNS:localhost", "serverAuth")
CLIENTS = {
    "checkout": AUTHORITY.issue("checkout", f"URI:{CHECKOUT}", "clientAuth"),
    "other": AUTHORITY.issue("other", f"URI:{OTHER_CLIENT}", "clientAuth"),
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
            *(listener(name, name) for name in (*CLIENTS, "anonymous")),
            listener("sanitize", "forwarded", EDGE, AUTHORITY.ca, "SANITIZE_SET"),
            listener("append", "forwarded", EDGE, AUTHORITY.ca, "APPEND_FORWARD"),
        ],
        [
            *(cluster(name, [MUTUAL.port], AUTHORITY.ca, certificate) for name, certificate in CLIENTS.items()),
            cluster("anonymous", [MUTUAL.port], AUTHORITY.ca),
            cluster("forwarded", [FORWARDED.port]),
        ],
    ),
)


@check("over mutual TLS the SPIFFE id of Envoy's certificate identifies it, and any client gets health checks")
def mutual_tls():
    for name in CLIENTS:
        SECURE.wait_for_healthy(name, 1)
    assert_allowed(SECURE.listener("checkout"))
    assert_denied(SECURE.listener("other"))


@check("without a certificate Envoy finds no healthy instance")
def no_certificate():
    error = expect_error(lambda: call(SECURE.listener("anonymous")))
    equal("the code", error.code().name, "UNAVAILABLE")
    equal("the healthy instances", SECURE.count("cluster.anonymous.membership_healthy"), 0)


@check("the identity that Envoy forwards is the client's")
def forwarded():
    SECURE.wait_for_healthy("forwarded", 1)
    for name in ("sanitize", "append"):
        assert_allowed(SECURE.listener(name), credentials("checkout"))
        assert_denied(SECURE.listener(name), credentials("other"))


@check("a forged header neither grants nor removes access")
def forged():
    claims = [f"By=spiffe://mesh.test/edge;URI={CHECKOUT}", f"URI={CHECKOUT},", f'URI={CHECKOUT};Subject="', f"URI={OTHER_CLIENT}"]
    for claim in claims:
        assert_denied(SECURE.listener("sanitize"), credentials("other"), [(XFCC, claim)])
        assert_denied(SECURE.listener("append"), credentials("other"), [(XFCC, claim)])
        assert_denied(SECURE.listener("append"), credentials("other"), [(XFCC, claim), (XFCC, claim)])
        assert_allowed(SECURE.listener("sanitize"), credentials("checkout"), [(XFCC, claim)])


run()
