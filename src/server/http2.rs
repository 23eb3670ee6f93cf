//! The HTTP/2 settings of both ports.

use std::time::Duration;
use tonic::transport::Server;

/// Above this size HTTP/2 itself rejects headers, with a status that gRPC has no code for. So it is
/// above the limit of the service.
const MAX_HTTP2_HEADER_BYTES: u32 = 32 * 1024;

/// The flow-control window of a stream. A connection keeps hyper's 1 MiB: h2 derives from it how
/// many small DATA frames may be queued, and with less it would close connections on which many
/// calls begin at once.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// Streams on one connection. At the limit, client libraries queue or open another connection. Ten
/// such connections reach the default of `--max-requests`.
const MAX_STREAMS: u32 = 2_000;

/// Idle time after which a connection is pinged: a load balancer or a firewall may have dropped it.
/// Load balancers usually do so after a minute or more.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(45);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Streams on one connection of the admin port: a few health checks and a watch.
pub const MAX_ADMIN_STREAMS: u32 = 4;

/// A connection of the admin port is drained at this age, and closed at twice that: also one that
/// sends its headers slowly, or does not read its responses.
pub const ADMIN_CONNECTION_AGE: Duration = Duration::from_secs(10);

/// Returns a tonic server with the HTTP/2 settings of the gRPC port.
pub fn grpc_port(max_age: Option<Duration>) -> Server {
    let server = port(MAX_STREAMS)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT));
    match max_age {
        Some(age) => server.max_connection_age(age),
        None => server,
    }
}

/// Returns a tonic server with the settings of the admin port.
pub fn admin_port() -> Server {
    port(MAX_ADMIN_STREAMS).accept_http1(true).max_connection_age(ADMIN_CONNECTION_AGE)
}

fn port(max_streams: u32) -> Server {
    Server::builder()
        .max_concurrent_streams(max_streams)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_max_header_list_size(MAX_HTTP2_HEADER_BYTES)
}
