//! How a connection is opened: the TLS handshake, then the first bytes, each within its time.

use super::{
    Protocol, Refusal,
    connection::{Connection, FirstBytes, Io},
    places::Place,
};
use crate::{client::Peer, server::tls};
use rustls::{CertificateError, ServerConfig};
use std::{future::poll_fn, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How HTTP/2 begins, by RFC 9113, section 3.4.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) struct Opening {
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) protocol: Protocol,
    pub(super) handshake: Duration,
    pub(super) first_bytes: Duration,
    pub(super) longest: Option<Duration>,
}

/// Why a connection was not opened. The reason is for the log: words of ours, never the peer's.
struct Fault(Refusal, &'static str);

impl Opening {
    /// None when it was refused; that is counted then.
    pub(super) async fn run(self, stream: TcpStream, address: SocketAddr, place: Place) -> Option<Connection> {
        let longest = self.longest;
        match self.open(stream).await {
            Ok((io, first)) => {
                let (over, connections) = (place.over, place.connections.clone());
                let peer = Peer::new(address, names(&io), move || over && connections.is_over_limit());
                Some(Connection::new(io, first, peer, place, longest))
            }
            Err(Fault(refusal, reason)) => {
                tracing::debug!(%address, reason, "a connection was not opened");
                place.connections.refuse(refusal);
                None
            }
        }
    }

    async fn open(self, mut stream: TcpStream) -> Result<(Io, FirstBytes), Fault> {
        let Some(config) = self.tls else {
            let first = first_bytes(&mut stream, self.protocol, self.first_bytes).await?;
            return Ok((Io::Plain(stream), first));
        };
        let handshake = timeout(self.handshake, TlsAcceptor::from(config).accept(stream)).await;
        let handshake = handshake.map_err(|_| Fault(Refusal::Timeout, "the TLS handshake took too long"))?;
        let mut stream = Box::new(handshake.map_err(|error| fault(&error))?);
        let first = first_bytes(&mut *stream, self.protocol, self.first_bytes).await?;
        Ok((Io::Tls(stream), first))
    }
}

fn names(io: &Io) -> Vec<String> {
    let certificate = match io {
        Io::Plain(_) => None,
        Io::Tls(stream) => TlsStream::get_ref(stream).1.peer_certificates().and_then(<[_]>::first),
    };
    certificate.map(tls::names).unwrap_or_default()
}

/// Reads until it is clear what the peer speaks, and never further than the preface.
async fn first_bytes(
    stream: &mut (impl AsyncRead + Unpin),
    protocol: Protocol,
    time: Duration,
) -> Result<FirstBytes, Fault> {
    let mut bytes = [0; PREFACE.len()];
    let mut buffer = ReadBuf::new(&mut bytes);
    let read = async {
        let enough = match protocol {
            Protocol::Http2 => PREFACE.len(),
            Protocol::Any => 1,
        };
        while buffer.filled().len() < enough {
            let before = buffer.filled().len();
            let read = poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut buffer)).await;
            if read.is_err() || buffer.filled().len() == before {
                return Err(Fault(Refusal::Left, "the peer went away"));
            }
            if protocol == Protocol::Http2 && !PREFACE.starts_with(buffer.filled()) {
                return Err(Fault(Refusal::Handshake, "the peer does not speak HTTP/2"));
            }
        }
        Ok(())
    };
    timeout(time, read).await.map_err(|_| Fault(Refusal::Timeout, "the peer said nothing"))??;
    let filled = buffer.filled().len();
    Ok(FirstBytes { bytes, given: 0, filled })
}

/// The libraries' own sentences may hold names and bytes of the peer's messages.
fn fault(error: &io::Error) -> Fault {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext, UnknownIssuer};
    use rustls::Error::{
        AlertReceived, InvalidCertificate, InvalidMessage, NoApplicationProtocol, NoCertificatesPresented,
        PeerIncompatible,
    };
    let reason = match error.get_ref().and_then(|error| error.downcast_ref()) {
        None => return Fault(Refusal::Left, "the peer went away"),
        Some(NoCertificatesPresented) => "the client has no certificate",
        Some(InvalidCertificate(Expired | ExpiredContext { .. })) => "the client's certificate has expired",
        Some(InvalidCertificate(NotValidYet | NotValidYetContext { .. })) => {
            "the client's certificate is not valid yet"
        }
        Some(InvalidCertificate(UnknownIssuer)) => "the client's certificate is of another CA",
        Some(InvalidCertificate(_)) => "the client's certificate is not sound",
        Some(AlertReceived(_)) => "the client refused the server's certificate or went away",
        Some(InvalidMessage(_)) => "the client does not speak TLS",
        Some(NoApplicationProtocol) => "the client does not speak HTTP/2",
        Some(PeerIncompatible(_)) => "the client has no version, suite or certificate type in common with the server",
        Some(_) => "the TLS handshake failed",
    };
    Fault(Refusal::Handshake, reason)
}
