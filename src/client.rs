//! Who asks, and whether it may.
//!
//! A client is known by the names that its certificate has, or that the sidecar before this server
//! read in it. Nothing that a client says of itself counts.

mod peer;
pub mod xfcc;

pub use peer::Peer;

use crate::{
    config::NamePattern,
    error::{Error, Reason},
};
use std::{fmt, net::SocketAddr, sync::Arc};
use tonic::codegen::http::{HeaderMap, HeaderName};

/// Envoy's header, which a sidecar writes.
const FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Where clients' names are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the certificate of the connection.
    Certificate,
    /// In the `x-forwarded-client-cert` of the sidecar.
    ForwardedClientCert,
}

/// A client, for one request.
pub struct Caller {
    peer: Option<Arc<Peer>>,
    /// The names that the sidecar wrote, where it is trusted. Otherwise those of the peer's
    /// certificate count.
    forwarded: Option<Vec<String>>,
}

impl Caller {
    /// The connection that the request came on.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_deref()
    }

    fn names(&self) -> &[String] {
        match (&self.forwarded, &self.peer) {
            (Some(names), _) => names,
            (None, Some(peer)) => &peer.names,
            (None, None) => &[],
        }
    }
}

/// For the access log: its first name, or else where it comes from.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address: Option<SocketAddr> = self.peer().map(|peer| peer.address);
        match (self.names().first(), address) {
            (Some(name), _) => f.write_str(name),
            (None, Some(address)) => write!(f, "{}", address.ip().to_canonical()),
            (None, None) => f.write_str("unknown"),
        }
    }
}

/// The rules of who may ask for what. An empty list lets everybody.
#[derive(Clone, Debug)]
pub struct Clients {
    pub source: Source,
    pub allowed: Vec<NamePattern>,
    pub images: Vec<NamePattern>,
}

impl Clients {
    /// The client at the other end of `peer`'s connection, which sent `headers`.
    pub fn caller(&self, peer: Option<Arc<Peer>>, headers: &HeaderMap) -> Caller {
        let forwarded = match self.source {
            Source::Certificate => None,
            Source::ForwardedClientCert => Some(forwarded(headers)),
        };
        Caller { peer, forwarded }
    }

    /// # Errors
    /// CLIENT_NOT_ALLOWED.
    pub fn may_ask(&self, caller: &Caller) -> Result<(), Error> {
        permit(&self.allowed, caller, Reason::ClientNotAllowed)
    }

    /// # Errors
    /// IMAGES_NOT_ALLOWED.
    pub fn may_see_images(&self, caller: &Caller) -> Result<(), Error> {
        permit(&self.images, caller, Reason::ImagesNotAllowed)
    }
}

fn permit(list: &[NamePattern], caller: &Caller, otherwise: Reason) -> Result<(), Error> {
    let is_named = caller.names().iter().any(|name| list.iter().any(|pattern| pattern.matches(name)));
    if list.is_empty() || is_named { Ok(()) } else { Err(Error::new(otherwise)) }
}

/// The names that the sidecar wrote, in the last header of that name. One that cannot be read names
/// nobody.
fn forwarded(headers: &HeaderMap) -> Vec<String> {
    let last = headers.get_all(FORWARDED_CLIENT_CERT).iter().next_back();
    last.and_then(|value| xfcc::peer_names(value.to_str().ok()?).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKOUT: &str = "spiffe://example.org/ns/checkout/sa/web";

    fn clients(allowed: &[&str], images: &[&str], source: Source) -> Clients {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a pattern")).collect();
        Clients { source, allowed: patterns(allowed), images: patterns(images) }
    }

    fn asks(clients: &Clients, names: &[&str]) -> Result<(), Error> {
        clients.may_ask(&clients.caller(Some(peer(names)), &HeaderMap::new()))
    }

    fn peer(names: &[&str]) -> Arc<Peer> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Arc::new(Peer::new("10.1.2.3:4567".parse().expect("an address"), names, || false))
    }

    #[test]
    fn a_name_is_allowed_as_a_whole_or_by_its_beginning() {
        let clients = clients(&["spiffe://example.org/ns/checkout/*", "web.example.org"], &[], Source::Certificate);
        assert!(asks(&clients, &[CHECKOUT]).is_ok());
        assert!(asks(&clients, &["web.example.org"]).is_ok());
        for names in [&[][..], &["spiffe://example.org/ns/checkout"], &["web.example.org.evil"], &["WEB.example.org"]] {
            assert_eq!(
                asks(&clients, names).expect_err("not on the list").reason,
                Reason::ClientNotAllowed,
                "{names:?}"
            );
        }
    }

    #[test]
    fn without_a_list_everybody_may_ask() {
        assert!(asks(&clients(&[], &[], Source::Certificate), &[]).is_ok());
    }

    #[test]
    fn images_have_a_list_of_their_own() {
        let clients = clients(&["*"], &[CHECKOUT], Source::Certificate);
        let sees = |name: &str| {
            let caller = clients.caller(Some(peer(&[name])), &HeaderMap::new());
            clients.may_see_images(&caller).map_err(|error| error.reason)
        };
        assert_eq!(sees(CHECKOUT), Ok(()));
        assert_eq!(sees("spiffe://example.org/ns/other"), Err(Reason::ImagesNotAllowed));
    }

    #[test]
    fn a_header_counts_only_where_the_sidecar_is_trusted() {
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_CLIENT_CERT, format!("By=spiffe://us;URI={CHECKOUT}").parse().expect("a header"));
        for (source, known) in [(Source::ForwardedClientCert, true), (Source::Certificate, false)] {
            let clients = clients(&[CHECKOUT], &[], source);
            assert_eq!(clients.may_ask(&clients.caller(None, &headers)).is_ok(), known, "{source:?}");
        }
    }

    #[test]
    fn of_several_headers_the_sidecars_is_the_last() {
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_CLIENT_CERT, format!("URI={CHECKOUT}").parse().expect("a header"));
        headers.append(FORWARDED_CLIENT_CERT, "URI=spiffe://example.org/ns/other".parse().expect("a header"));
        let clients = clients(&[CHECKOUT], &[], Source::ForwardedClientCert);
        assert!(clients.may_ask(&clients.caller(None, &headers)).is_err());
    }

    #[test]
    fn a_pattern_with_a_star_elsewhere_is_refused() {
        for bad in ["", "spiffe://*/web", "**", "a b", "a,b"] {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_caller_is_shown_by_name_or_else_by_address() {
        let clients = clients(&[], &[], Source::Certificate);
        let shown = |names: &[&str]| clients.caller(Some(peer(names)), &HeaderMap::new()).to_string();
        assert_eq!((shown(&[CHECKOUT]).as_str(), shown(&[]).as_str()), (CHECKOUT, "10.1.2.3"));
    }
}
