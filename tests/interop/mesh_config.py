"""Envoy's configuration, as a mesh would have it for this service: HTTP/2, active health checks of gRPC, round robin, no retries."""

SERVICE = "faceliveness.v1.FaceLivenessService"
EXTENSIONS = "type.googleapis.com/envoy.extensions"

# Seconds between two health checks of a host: a drain delay has to outlast a few.
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
    """A listener with a port of the system's choice. `forward` is how it treats x-forwarded-client-cert."""
    manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        # The calls themselves have deadlines.
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
            # Counts calls by their gRPC status, in the cluster that answered.
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
        # Whoever is unhealthy gets nothing, though all may be.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        "health_checks": [check],
        # As the chart has it: an instance that passes on an outage of AWS still holds answers, so that only what Envoy itself cannot reach is
        # left out.
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
    """Shows `certificate`, where there is one, and wants one of `ca`."""
    common = {"alpn_protocols": ["h2"], "validation_context": {"trusted_ca": {"filename": str(ca)}}}
    if certificate:
        chain = {"filename": str(certificate.cert)}
        common["tls_certificates"] = [{"certificate_chain": chain, "private_key": {"filename": str(certificate.key)}}]
    return common
