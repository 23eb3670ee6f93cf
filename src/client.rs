//! The identity of clients, and the allow-lists.
//!
//! A client's names are those in its certificate, or those that a trusted sidecar read in it. A
//! claim of the client itself is ignored.

mod key;
mod metrics;
mod peer;
mod shares;
pub mod xfcc;

pub use key::ClientKey;
pub use metrics::ClientLimit;
pub use peer::Peer;
pub use shares::{Client, RequestShare, ShareLimits, Shares, share_of};

use crate::{
    config::{ClientIdentity, NamePattern},
    error::{Error, Reason},
};
use std::{fmt, sync::Arc};
use tonic::codegen::http::{HeaderMap, HeaderName};

/// The header in which an Envoy sidecar forwards the client's certificate.
const FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// The client of one request.
pub struct Caller {
    peer: Option<Arc<Peer>>,
    /// The names that the sidecar forwarded. None if they come from the peer's certificate.
    forwarded: Option<Vec<String>>,
    /// The client of the forwarded names. None if it is the peer.
    client: Option<Arc<Client>>,
}

impl Caller {
    /// Returns the peer of the request's connection.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_deref()
    }

    /// Returns the client to which the request's share of the limits belongs.
    pub fn client(&self) -> Option<&Arc<Client>> {
        self.client.as_ref().or_else(|| Some(&self.peer.as_ref()?.client))
    }

    /// Returns the client in whose queue its reads are.
    pub fn key(&self) -> &ClientKey {
        self.client().map_or(&ClientKey::Others, |client| &client.key)
    }

    fn names(&self) -> &[String] {
        match (&self.forwarded, &self.peer) {
            (Some(names), _) => names,
            (None, Some(peer)) => &peer.names,
            (None, None) => &[],
        }
    }
}

/// The first name, or else the IP address, for the access log.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.names().first(), &self.peer) {
            (Some(name), _) => f.write_str(name),
            (None, Some(peer)) => write!(f, "{}", peer.address.ip().to_canonical()),
            (None, None) => f.write_str("unknown"),
        }
    }
}

/// The allow-lists. An empty list allows all clients.
#[derive(Clone, Debug)]
pub struct Clients {
    pub identity: ClientIdentity,
    /// The clients that may call.
    pub allowed: Vec<NamePattern>,
    /// The clients that may request image content.
    pub images: Vec<NamePattern>,
}

impl Clients {
    /// Returns the caller that sent `headers` on the connection of `peer`.
    pub fn caller(&self, peer: Option<Arc<Peer>>, headers: &HeaderMap, shares: &Shares) -> Caller {
        let forwarded = match self.identity {
            ClientIdentity::Tls => None,
            ClientIdentity::Xfcc => Some(forwarded(headers)),
        };
        let names = forwarded.as_deref().filter(|names| !names.is_empty());
        let client = names.map(|names| shares.client(ClientKey::Name(names[0].as_str().into()), names));
        Caller { peer, forwarded, client }
    }

    /// # Errors
    /// CLIENT_NOT_ALLOWED.
    pub fn may_call(&self, caller: &Caller) -> Result<(), Error> {
        check(&self.allowed, caller, Reason::ClientNotAllowed)
    }

    /// # Errors
    /// IMAGES_NOT_ALLOWED.
    pub fn may_see_images(&self, caller: &Caller) -> Result<(), Error> {
        check(&self.images, caller, Reason::ImagesNotAllowed)
    }
}

fn check(list: &[NamePattern], caller: &Caller, otherwise: Reason) -> Result<(), Error> {
    let is_named = caller.names().iter().any(|name| list.iter().any(|pattern| pattern.matches(name)));
    if list.is_empty() || is_named { Ok(()) } else { Err(Error::new(otherwise)) }
}

/// Returns the names in the sidecar's header, the last of its name. A malformed header has none.
fn forwarded(headers: &HeaderMap) -> Vec<String> {
    let last = headers.get_all(FORWARDED_CLIENT_CERT).iter().next_back();
    last.and_then(|value| xfcc::peer_names(value.to_str().ok()?).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKOUT: &str = "spiffe://example.org/ns/checkout/sa/web";

    fn clients(allowed: &[&str], images: &[&str], source: ClientIdentity) -> Clients {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a pattern")).collect();
        Clients { identity: source, allowed: patterns(allowed), images: patterns(images) }
    }

    fn may_call(clients: &Clients, names: &[&str]) -> Result<(), Error> {
        clients.may_call(&clients.caller(Some(peer(names)), &HeaderMap::new(), &Shares::of_tests()))
    }

    fn peer(names: &[&str]) -> Arc<Peer> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let client = Shares::of_tests().client(ClientKey::Others, &names);
        Arc::new(Peer::new("10.1.2.3:4567".parse().expect("an address"), names, client, || false))
    }

    #[test]
    fn a_client_is_allowed_by_its_name_or_by_a_prefix() {
        let clients = clients(&["spiffe://example.org/ns/checkout/*", "web.example.org"], &[], ClientIdentity::Tls);
        assert!(may_call(&clients, &[CHECKOUT]).is_ok());
        assert!(may_call(&clients, &["web.example.org"]).is_ok());
        for names in [&[][..], &["spiffe://example.org/ns/checkout"], &["web.example.org.evil"]] {
            assert_eq!(
                may_call(&clients, names).expect_err("not on the list").reason,
                Reason::ClientNotAllowed,
                "{names:?}"
            );
        }
    }

    #[test]
    fn dns_names_match_without_case_and_final_dot() {
        let clients = clients(&["Web.Example.org", "api.example.org.", "JOBS.*"], &[], ClientIdentity::Tls);
        for name in ["web.example.org", "WEB.EXAMPLE.ORG.", "Api.Example.Org", "jobs.example.org", "Jobs.x."] {
            assert!(may_call(&clients, &[name]).is_ok(), "{name}");
        }
        for name in ["web.example.org..", "web.example.or", "api", "jobs", "jobs.", "é.example.org", "."] {
            assert!(may_call(&clients, &[name]).is_err(), "{name}");
        }
    }

    #[test]
    fn a_uri_that_is_no_spiffe_id_or_has_dot_segments_matches_nothing() {
        let lists = ["spiffe://example.org/ns/checkout/*", "https://example.org/a/*", "*"];
        let clients = clients(&lists, &[], ClientIdentity::Tls);
        for name in
            [CHECKOUT, "spiffe://example.org/ns/checkout/.a/b..c", "https://example.org/a/b%20c", "spiffe://example"]
        {
            assert!(may_call(&clients, &[name]).is_ok(), "{name}");
        }
        for name in [
            "spiffe://example.org/ns/checkout/../other/sa/web",
            "spiffe://example.org/ns/checkout/./web",
            "spiffe://example.org/ns/checkout/..",
            "spiffe://example.org/ns/checkout/%2e%2e/other",
            "spiffe://example.org/ns/checkout/a%2fb",
            "spiffe://example.org/ns/checkout//web",
            "spiffe://example.org/ns/checkout/",
            "spiffe://example.org/ns/checkout/web?a",
            "spiffe://example.org/ns/checkout/web#a",
            "spiffe://Example.org/ns/checkout/web",
            "SPIFFE://example.org/ns/checkout/web",
            "spiffe://user@example.org/ns/checkout/web",
            "spiffe://example.org:443/ns/checkout/web",
            "spiffe:///ns/checkout/web",
            "spiffe:example.org",
            "https://example.org/a/../b",
            "https://example.org/a/%2E%2e/b",
            "https://example.org/a/..?b",
        ] {
            assert!(may_call(&clients, &[name]).is_err(), "{name}");
        }
    }

    #[test]
    fn names_from_the_sidecar_match_by_the_same_rules() {
        let clients = clients(&["web.example.org", "spiffe://example.org/ns/*"], &[], ClientIdentity::Xfcc);
        for (names, allowed) in [
            ("DNS=WEB.example.ORG.", true),
            ("URI=spiffe://example.org/ns/a", true),
            ("URI=spiffe://example.org/ns/../admin", false),
            ("URI=\"spiffe://example.org/ns/../admin\";DNS=Web.example.org", true),
        ] {
            let headers = HeaderMap::from_iter([(FORWARDED_CLIENT_CERT, names.parse().expect("a header"))]);
            assert_eq!(
                clients.may_call(&clients.caller(None, &headers, &Shares::of_tests())).is_ok(),
                allowed,
                "{names}"
            );
        }
    }

    #[test]
    fn without_a_list_all_clients_may_call() {
        assert!(may_call(&clients(&[], &[], ClientIdentity::Tls), &[]).is_ok());
    }

    #[test]
    fn images_have_an_allow_list_of_their_own() {
        let clients = clients(&["*"], &[CHECKOUT], ClientIdentity::Tls);
        let sees = |name: &str| {
            let caller = clients.caller(Some(peer(&[name])), &HeaderMap::new(), &Shares::of_tests());
            clients.may_see_images(&caller).map_err(|error| error.reason)
        };
        assert_eq!(sees(CHECKOUT), Ok(()));
        assert_eq!(sees("spiffe://example.org/ns/other"), Err(Reason::ImagesNotAllowed));
    }

    #[test]
    fn the_header_is_ignored_unless_the_sidecar_is_trusted() {
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_CLIENT_CERT, format!("By=spiffe://us;URI={CHECKOUT}").parse().expect("a header"));
        for (source, known) in [(ClientIdentity::Xfcc, true), (ClientIdentity::Tls, false)] {
            let clients = clients(&[CHECKOUT], &[], source);
            assert_eq!(
                clients.may_call(&clients.caller(None, &headers, &Shares::of_tests())).is_ok(),
                known,
                "{source:?}"
            );
        }
    }

    #[test]
    fn the_last_of_several_headers_is_the_sidecars() {
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_CLIENT_CERT, format!("URI={CHECKOUT}").parse().expect("a header"));
        headers.append(FORWARDED_CLIENT_CERT, "URI=spiffe://example.org/ns/other".parse().expect("a header"));
        let clients = clients(&[CHECKOUT], &[], ClientIdentity::Xfcc);
        assert!(clients.may_call(&clients.caller(None, &headers, &Shares::of_tests())).is_err());
    }

    #[test]
    fn a_pattern_with_a_star_elsewhere_is_rejected() {
        for bad in ["", ".", "spiffe://*/web", "**", "a b", "a,b"] {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_pattern_that_no_client_can_match_is_rejected() {
        for bad in ["spiffe://Example.org/a", "spiffe://example.org/a/", "spiffe://a/../*", "spiffe:*", "https://a/./*"]
        {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad:?}");
        }
        for good in
            ["spiffe://*", "spiffe://example.org*", "spiffe://example.org/a/*", "https://a.example/?b=c%20d", "*"]
        {
            assert!(good.parse::<NamePattern>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_caller_is_displayed_by_name_or_else_by_address() {
        let clients = clients(&[], &[], ClientIdentity::Tls);
        let shown =
            |names: &[&str]| clients.caller(Some(peer(names)), &HeaderMap::new(), &Shares::of_tests()).to_string();
        assert_eq!((shown(&[CHECKOUT]).as_str(), shown(&[]).as_str()), (CHECKOUT, "10.1.2.3"));
    }
}
