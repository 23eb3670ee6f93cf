"""Envoy's configuration, as a mesh would configure it: HTTP/2, active gRPC health checks, round robin, no retries."""

SERVICE = "faceliveness.v1.FaceLivenessService"
EXTENSIONS = "type.googleapis.com/envoy.extensions"

# Seconds between two health checks of a host. The drain delay must be longer than a few of them.
HEALTH_INTERVAL = 0.2


def bootstrap(listeners, clusters):
    return {
        "admin": {"address": loopback(0)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }


def loopback(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def typed(kind, **fields):
    return {"@type": f"{EXTENSIONS}.{kind}", **fields}


def listener(name, cluster, certificate=None, ca=None, forward=None):
    """A listener on a port that the system chooses. `forward` is how it handles x-forwarded-client-cert."""
    manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        # The calls have deadlines.
        route_config={
            "virtual_hosts": [
                {
                    "name": name,
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}],
                }
            ]
        },
        http_filters=[
            # Counts calls by their gRPC status, in the cluster that responded.
            {"name": "stats", "typed_config": typed("filters.http.grpc_stats.v3.FilterConfig", stats_for_all_methods=True)},
            {"name": "router", "typed_config": typed("filters.http.router.v3.Router")},
        ],
    )
    if forward:
        manager["forward_client_cert_details"] = forward
        manager["set_current_client_cert_details"] = {"uri": True}
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    if certificate:
        common = common_tls(certificate, ca)
        context = typed(
            "transport_sockets.tls.v3.DownstreamTlsContext", require_client_certificate=True, common_tls_context=common
        )
        chain["transport_socket"] = {"name": "tls", "typed_config": context}
    return {"name": name, "address": loopback(0), "filter_chains": [chain]}


def cluster(name, ports, ca=None, certificate=None):
    """A cluster on these ports of loopback: plaintext without a CA, and mutual TLS with a certificate."""
    endpoints = [{"endpoint": {"address": loopback(port)}} for port in ports]
    protocol = typed("upstreams.http.v3.HttpProtocolOptions", explicit_http_config={"http2_protocol_options": {}})
    interval = f"{HEALTH_INTERVAL}s"
    check = {
        "timeout": "1s",
        "interval": interval,
        "no_traffic_interval": interval,
        "unhealthy_interval": interval,
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "grpc_health_check": {"service_name": SERVICE},
    }
    cluster = {
        "name": name,
        "type": "STATIC",
        "lb_policy": "ROUND_ROBIN",
        "connect_timeout": "2s",
        # An unhealthy host gets no calls, even if all hosts are unhealthy.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        "health_checks": [check],
        # As in the chart: during an outage of AWS an instance still serves cached
        # results, so Envoy ejects only hosts that it cannot reach.
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 3,
            "enforcing_consecutive_5xx": 0,
            "enforcing_consecutive_gateway_failure": 0,
            "enforcing_success_rate": 0,
        },
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }
    if ca:
        context = typed(
            "transport_sockets.tls.v3.UpstreamTlsContext", sni="localhost", common_tls_context=common_tls(certificate, ca)
        )
        cluster["transport_socket"] = {"name": "tls", "typed_config": context}
    return cluster


def common_tls(certificate, ca):
    """Presents `certificate`, if there is one, and requires one issued by `ca`."""
    common = {"alpn_protocols": ["h2"], "validation_context": {"trusted_ca": {"filename": str(ca)}}}
    if certificate:
        chain = {"filename": str(certificate.cert)}
        common["tls_certificates"] = [{"certificate_chain": chain, "private_key": {"filename": str(certificate.key)}}]
    return common
