//! The share of each client in the limits of this server: at most nine tenths, so that one client
//! leaves a tenth to the others.

use super::{
    ClientKey,
    metrics::{self, ClientLimit, Rejections},
};
use crate::{config::NamePattern, telemetry::metrics::Registry};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::sync::Semaphore;

/// Returns the share of one client in a limit: nine tenths. A limit below 10 has no tenth to leave
/// to others.
pub fn share_of(limit: usize) -> usize {
    if limit < 10 { limit } else { limit - limit.div_ceil(10) }
}

/// The limits of this server that clients share.
#[derive(Clone, Copy, Debug)]
pub struct ShareLimits {
    pub requests: usize,
    /// In permits of the image budget.
    pub image_budget: usize,
}

/// The clients that are connected or have a request in flight.
pub struct Shares {
    limits: ShareLimits,
    clients: Mutex<Clients>,
    allowed: Vec<NamePattern>,
    /// Rejected requests by entry of `allowed`, and of all other clients.
    rejected: Vec<Rejections>,
}

#[derive(Default)]
struct Clients {
    by_key: HashMap<ClientKey, Weak<Client>>,
    /// The number of entries at which those of gone clients are removed.
    sweep_at: usize,
}

/// A client, and what it uses.
pub struct Client {
    pub key: ClientKey,
    /// Its share of the image budget.
    pub image_budget: Arc<Semaphore>,
    max_requests: usize,
    requests: AtomicUsize,
    rejected: Rejections,
}

/// A request in flight, until it is dropped.
pub struct RequestShare(Arc<Client>);

impl Shares {
    /// `allowed` are the clients that metrics name.
    pub fn new(limits: ShareLimits, allowed: &[NamePattern], registry: &Registry) -> Arc<Self> {
        let rejected = metrics::rejections(allowed, registry);
        Arc::new(Self { limits, clients: Mutex::default(), allowed: allowed.to_vec(), rejected })
    }

    /// Returns the client with this key and these names.
    pub fn client(&self, key: ClientKey, names: &[String]) -> Arc<Client> {
        let mut clients = self.clients.lock().expect("no code panics under this lock");
        if let Some(client) = clients.by_key.get(&key).and_then(Weak::upgrade) {
            return client;
        }
        if clients.by_key.len() >= clients.sweep_at {
            clients.by_key.retain(|_, client| client.strong_count() > 0);
            clients.sweep_at = 2 * clients.by_key.len() + 64;
        }
        let entry = self.allowed.iter().position(|entry| names.iter().any(|name| entry.matches(name)));
        let client = Arc::new(Client {
            key: key.clone(),
            image_budget: Arc::new(Semaphore::new(share_of(self.limits.image_budget))),
            max_requests: share_of(self.limits.requests),
            requests: AtomicUsize::new(0),
            rejected: self.rejected[entry.unwrap_or(self.allowed.len())].clone(),
        });
        clients.by_key.insert(key, Arc::downgrade(&client));
        client
    }
}

impl Client {
    /// Counts a request in flight. None if the client has its share.
    pub fn take_request(self: &Arc<Self>) -> Option<RequestShare> {
        let share = RequestShare(Arc::clone(self));
        (self.requests.fetch_add(1, Relaxed) < self.max_requests).then_some(share)
    }

    pub fn count_rejection(&self, limit: ClientLimit) {
        self.rejected[limit as usize].inc();
    }
}

impl Drop for RequestShare {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
impl Shares {
    /// Shares of a server that serves many requests.
    pub fn of_tests() -> Arc<Self> {
        Self::new(ShareLimits { requests: 1_000, image_budget: 1 << 16 }, &[], &Registry::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(registry: &Registry) -> Arc<Shares> {
        let allowed = ["spiffe://example.org/a".parse().expect("a pattern")];
        Shares::new(ShareLimits { requests: 10, image_budget: 1 }, &allowed, registry)
    }

    fn client(shares: &Shares, name: &str) -> Arc<Client> {
        shares.client(ClientKey::Name(name.into()), &[name.to_owned()])
    }

    #[test]
    fn a_share_is_nine_tenths_of_a_limit_from_ten_on() {
        assert_eq!([0, 1, 2, 9, 10, 19, 20, 20_000].map(share_of), [0, 1, 2, 9, 9, 17, 18, 18_000]);
    }

    #[test]
    fn one_client_leaves_a_tenth_of_the_requests_to_others() {
        let shares = shares(&Registry::default());
        let client_a = client(&shares, "a");
        let mut requests: Vec<_> = (0..12).filter_map(|_| client(&shares, "a").take_request()).collect();
        assert_eq!(requests.len(), 9);
        assert!(client(&shares, "b").take_request().is_some());
        requests.pop();
        assert!(client_a.take_request().is_some());
    }

    #[test]
    fn metrics_name_a_client_only_if_it_is_listed() {
        let registry = Registry::default();
        let shares = shares(&registry);
        for name in ["spiffe://example.org/a", "spiffe://example.org/b", "c"] {
            client(&shares, name).count_rejection(ClientLimit::Quota);
        }
        let text = registry.text();
        for series in [r#"{client="spiffe://example.org/a",limit="quota"} 1"#, r#"{client="other",limit="quota"} 2"#] {
            assert!(text.contains(series), "{text}");
        }
        assert!(!text.contains("example.org/b"), "{text}");
    }

    #[test]
    fn clients_that_are_gone_are_removed() {
        let shares = shares(&Registry::default());
        (0..1_000).for_each(|number| drop(client(&shares, &number.to_string())));
        assert!(shares.clients.lock().unwrap().by_key.len() <= 64);
    }
}
