//! Listening sockets, bound before anything serves on them.

use socket2::SockRef;
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted, as tokio's default.
const BACKLOG: u32 = 1024;

/// Binds the address that `flag` gave. Falls back from the unspecified IPv6 address to IPv4's, for
/// machines without IPv6.
///
/// # Errors
/// One sentence for an operator.
pub fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, String> {
    let bound = match listen(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != io::ErrorKind::AddrInUse => {
            listen((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        bound => bound,
    };
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{address} is in use by another process: stop that one, or choose another address with {flag}")
        }
        _ => format!("cannot listen on {address}: {error}: choose an address of this machine with {flag}"),
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() {
        // Then `[::]` also accepts IPv4. The system's default is net.ipv6.bindv6only.
        SockRef::from(&socket).set_only_v6(false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Returns the address of a bound socket.
///
/// # Errors
/// One sentence for an operator.
pub fn address(listener: &TcpListener) -> Result<SocketAddr, String> {
    listener.local_addr().map_err(|error| format!("the socket has no address: {error}"))
}
