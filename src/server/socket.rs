//! Listening sockets, bound before anything serves on them.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::net::TcpListener;

/// Binds the address that `flag` gave. Falls back from the unspecified IPv6 address to IPv4's, for
/// machines without IPv6.
///
/// # Errors
/// One sentence for an operator.
pub async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, String> {
    let bound = match TcpListener::bind(address).await {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{address} is in use by another process: stop that one, or choose another address with {flag}")
        }
        _ => format!("cannot listen on {address}: {error}"),
    })
}

/// Returns the address of a bound socket.
///
/// # Errors
/// One sentence for an operator.
pub fn address(listener: &TcpListener) -> Result<SocketAddr, String> {
    listener.local_addr().map_err(|error| format!("the socket has no address: {error}"))
}
