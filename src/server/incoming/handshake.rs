//! What happens before a connection is served: the TLS handshake, then the first bytes, each within
//! its timeout.

use super::{
    connection::{Connection, PREFACE, Stream},
    limit::{CloseReason, ConnectionPermit, Connections, Limits},
};
use crate::{
    client::{ClientKey, ClientLimit, Peer, Shares},
    server::tls,
};
use rustls::{CertificateError, ServerConfig};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;

/// The protocols that a port accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 with prior knowledge, or by ALPN over TLS: gRPC's.
    Http2,
    /// HTTP/1 or HTTP/2, without TLS. The server detects which.
    Any,
}

/// The handshake of one connection.
pub(super) struct Handshake {
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) protocol: Protocol,
    pub(super) limits: Limits,
    pub(super) connections: Connections,
    pub(super) shares: Arc<Shares>,
}

/// A handshake that failed: the reason for the metric, and a sentence for the log. It quotes
/// nothing of the peer's.
struct Failed(CloseReason, &'static str);

const LEFT: Failed = Failed(CloseReason::Left, "the peer closed the connection");

impl Handshake {
    /// Returns the connection, ready to be served. Returns None, and counts the reason, if it was
    /// closed. The limit counts the connections that it evicts.
    pub(super) async fn run(
        self,
        stream: TcpStream,
        address: SocketAddr,
        mut permit: ConnectionPermit,
    ) -> Option<Connection> {
        let (limits, connections, shares) = (self.limits, self.connections.clone(), Arc::clone(&self.shares));
        match permit.evicted.run_until_cancelled(self.complete(stream)).await? {
            Ok((stream, names, read_ahead)) => {
                let key = ClientKey::of(&names, address.ip());
                let client = shares.client(key.clone(), &names);
                if !permit.identify(&key) {
                    client.count_rejection(ClientLimit::Connections);
                    connections.record_closed(CloseReason::Limit);
                    return None;
                }
                let exceeds_limit = permit.exceeds_limit;
                let is_over_limit = move || exceeds_limit && connections.is_over_limit(&key);
                let peer = Peer::new(address, names, client, is_over_limit);
                Some(Connection::new(stream, read_ahead, peer, permit, limits))
            }
            Err(Failed(close_reason, reason)) => {
                tracing::debug!(%address, reason, "a connection was closed before it was served");
                connections.record_closed(close_reason);
                None
            }
        }
    }

    /// Returns the stream, the names in the client's certificate, and the bytes that were read.
    async fn complete(self, stream: TcpStream) -> Result<(Stream, Vec<String>, &'static [u8]), Failed> {
        let (mut stream, names) = match self.tls {
            None => (Either::Left(stream), Vec::new()),
            Some(config) => {
                let handshake = timeout(self.limits.handshake_timeout, TlsAcceptor::from(config).accept(stream)).await;
                let handshake =
                    handshake.map_err(|_| Failed(CloseReason::Timeout, "the TLS handshake took too long"))?;
                let stream = handshake.map_err(|error| classify(&error))?;
                let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let names = certificate.map(tls::names).unwrap_or_default();
                (Either::Right(Box::new(stream)), names)
            }
        };
        let first_bytes = timeout(self.limits.first_bytes_timeout, first_bytes(&mut stream, self.protocol)).await;
        let read_ahead = first_bytes.map_err(|_| Failed(CloseReason::Timeout, "the peer sent nothing"))??;
        Ok((stream, names, read_ahead))
    }
}

/// Waits until the peer has sent the HTTP/2 preface, or any byte if it may speak HTTP/1. Returns
/// the bytes that it read.
async fn first_bytes(stream: &mut Stream, protocol: Protocol) -> Result<&'static [u8], Failed> {
    if let (Protocol::Any, Either::Left(stream)) = (protocol, &stream) {
        return match stream.peek(&mut [0]).await {
            Ok(0) | Err(_) => Err(LEFT),
            Ok(_) => Ok(&[]),
        };
    }
    let (mut bytes, mut filled) = ([0; PREFACE.len()], 0);
    while filled < PREFACE.len() {
        match stream.read(&mut bytes[filled..]).await {
            Ok(0) | Err(_) => return Err(LEFT),
            Ok(read) => filled += read,
        }
        if !PREFACE.starts_with(&bytes[..filled]) {
            return Err(Failed(CloseReason::Handshake, "the peer does not speak HTTP/2"));
        }
    }
    Ok(PREFACE)
}

/// Describes a failed TLS handshake. The libraries' own messages can contain names and bytes of the
/// peer's.
fn classify(error: &io::Error) -> Failed {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext, UnknownIssuer};
    use rustls::Error::{
        AlertReceived, InvalidCertificate, InvalidMessage, NoApplicationProtocol, NoCertificatesPresented,
        PeerIncompatible,
    };
    let reason = match error.get_ref().and_then(|error| error.downcast_ref()) {
        None => return LEFT,
        Some(NoCertificatesPresented) => "the client has no certificate",
        Some(InvalidCertificate(Expired | ExpiredContext { .. })) => "the client's certificate has expired",
        Some(InvalidCertificate(NotValidYet | NotValidYetContext { .. })) => {
            "the client's certificate is not valid yet"
        }
        Some(InvalidCertificate(UnknownIssuer)) => "the client's certificate is signed by another CA",
        Some(InvalidCertificate(_)) => "the client's certificate is not valid",
        Some(AlertReceived(_)) => "the client rejected the server's certificate, or left",
        Some(InvalidMessage(_)) => "the client does not speak TLS",
        Some(NoApplicationProtocol) => "the client does not speak HTTP/2",
        Some(PeerIncompatible(_)) => "the client has no version, suite or certificate type in common with the server",
        Some(_) => "the TLS handshake failed",
    };
    Failed(CloseReason::Handshake, reason)
}
