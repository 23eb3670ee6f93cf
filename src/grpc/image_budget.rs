//! The image budget: how many bytes of responses with images are in memory until their clients have
//! read them.
//!
//! A response has its share from before it is encoded until HTTP/2 has written or dropped the last
//! part of it.

use super::call::Call;
use crate::{
    client::{Client, ClientLimit, share_of},
    error::{Error, Reason},
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;
use tonic::codegen::Bytes;

/// Some 64 of the largest responses.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The unit of the budget's permits.
const PERMIT_BYTES: usize = 1024;

pub const PERMITS: usize = MAX_BYTES / PERMIT_BYTES;

/// How long a client may take to read a response with images. A megabyte in a minute is slower than
/// any usable network.
const MAX_READ_TIME: Duration = Duration::from_secs(60);

/// How long a response waits for its share. It holds its images meanwhile, whether the cache still
/// does or not.
const MAX_WAIT: Duration = Duration::from_secs(1);

pub struct ImageBudget(Arc<Semaphore>);

/// A response's share of the image budget.
#[derive(Clone)]
pub struct ImagePermit(#[expect(dead_code, reason = "returns to the budget when dropped")] Arc<[OwnedSemaphorePermit]>);

/// Completes when HTTP/2 has written a response to its connection, or dropped it.
pub type Written = oneshot::Receiver<Infallible>;

impl ImageBudget {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(PERMITS)))
    }

    /// A share of this size, first come, first served. It counts towards the client's share of the
    /// budget, too.
    ///
    /// # Errors
    /// OVERLOADED when the budget, or the client's share of it, has no such share before
    /// `deadline`, or within [`MAX_WAIT`].
    pub async fn acquire(
        &self,
        bytes: usize,
        client: Option<&Arc<Client>>,
        deadline: Instant,
    ) -> Result<ImagePermit, Error> {
        let deadline = deadline.min(Instant::now() + MAX_WAIT);
        let largest = client.map_or(PERMITS, |_| share_of(PERMITS));
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES).min(largest));
        let permits = permits.expect("the budget has fewer permits");
        let mut acquired = Vec::with_capacity(2);
        for budget in client.map(|client| &client.image_budget).into_iter().chain([&self.0]) {
            let Ok(permit) = timeout_at(deadline, Arc::clone(budget).acquire_many_owned(permits)).await else {
                client.inspect(|client| client.count_rejection(ClientLimit::ImageBudget));
                return Err(Error::new(Reason::Overloaded));
            };
            acquired.push(permit.expect("the budget is never closed"));
        }
        Ok(ImagePermit(acquired.into()))
    }
}

impl ImagePermit {
    /// Attaches the share to the encoded response. It returns when HTTP/2 drops the last part of
    /// these bytes.
    ///
    /// HTTP/2 does not look at the body of a client that does not read, so the response cannot end
    /// its own stream: after [`MAX_READ_TIME`] the client's connection is closed.
    pub fn attach(self, bytes: Bytes, call: Arc<Call>) -> (Bytes, Written) {
        let cut_off = tokio::spawn(async move {
            tokio::time::sleep(MAX_READ_TIME).await;
            call.caller.peer().inspect(|peer| peer.close());
        });
        let (unwritten, written) = oneshot::channel();
        let cut_off = AbortOnDropHandle::new(cut_off);
        (Bytes::from_owner(Unread { bytes, _permit: self, _cut_off: cut_off, _unwritten: unwritten }), written)
    }
}

/// A response with images that its client has not read yet.
struct Unread {
    bytes: Bytes,
    _permit: ImagePermit,
    _cut_off: AbortOnDropHandle<()>,
    _unwritten: oneshot::Sender<Infallible>,
}

impl AsRef<[u8]> for Unread {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::{ClientKey, Clients, Peer, Shares},
        config::ClientIdentity,
    };
    use tonic::codegen::http::HeaderMap;

    async fn acquire(budget: &ImageBudget, bytes: usize) -> Result<ImagePermit, Error> {
        budget.acquire(bytes, None, Instant::now() + Duration::from_secs(5)).await
    }

    fn call(peer: &Arc<Peer>) -> Arc<Call> {
        let clients = Clients { identity: ClientIdentity::Tls, allowed: Vec::new(), images: Vec::new() };
        let caller = clients.caller(Some(Arc::clone(peer)), &HeaderMap::new(), &Shares::of_tests());
        Arc::new(Call::new(caller, &HeaderMap::new(), Instant::now()))
    }

    fn peer() -> Arc<Peer> {
        let client = Shares::of_tests().client(ClientKey::Others, &[]);
        Arc::new(Peer::new("10.1.2.3:4567".parse().expect("an address"), Vec::new(), client, || false))
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_waits_for_its_share_and_is_rejected_without_one() {
        let budget = ImageBudget::new();
        let first = acquire(&budget, MAX_BYTES - PERMIT_BYTES).await.expect("the budget is free");
        acquire(&budget, 10 * PERMIT_BYTES).await.map(drop).expect_err("no such share is left");
        acquire(&budget, PERMIT_BYTES).await.expect("one permit is left");
        drop(first);
        acquire(&budget, 10 * PERMIT_BYTES).await.expect("the first share has returned");
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_leaves_a_tenth_of_the_budget_to_others() {
        let (budget, shares) = (ImageBudget::new(), Shares::of_tests());
        let [one, other] = ["a", "b"].map(|name| shares.client(ClientKey::Name(name.into()), &[]));
        let acquire = async |client: &Arc<Client>, bytes: usize| {
            budget.acquire(bytes, Some(client), Instant::now() + Duration::from_secs(5)).await
        };
        let share = acquire(&one, share_of(PERMITS) * PERMIT_BYTES).await.expect("the budget is free");
        acquire(&one, PERMIT_BYTES).await.map(drop).expect_err("it has its share");
        acquire(&other, MAX_BYTES / 10).await.expect("a tenth is left");
        drop(share);
        acquire(&one, PERMIT_BYTES).await.expect("its share has returned");
    }

    #[tokio::test]
    async fn a_share_returns_with_the_last_part_of_its_response() {
        let (budget, peer) = (ImageBudget::new(), peer());
        let permit = acquire(&budget, MAX_BYTES).await.expect("the budget is free");
        let (mut response, mut written) = permit.attach(Bytes::from(vec![7; 100]), call(&peer));
        let part = response.split_to(10);
        drop(response);
        assert_eq!((&part[..], budget.0.available_permits()), (&[7; 10][..], 0));
        assert_eq!(written.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        drop(part);
        assert_eq!(written.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(budget.0.available_permits(), MAX_BYTES / PERMIT_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_loses_its_connection_after_a_minute() {
        let (budget, peer) = (ImageBudget::new(), peer());
        let attach = async || {
            let permit = acquire(&budget, PERMIT_BYTES).await.expect("the budget is free");
            permit.attach(Bytes::from_static(b"images"), call(&peer)).0
        };
        drop(attach().await);
        tokio::time::sleep(2 * MAX_READ_TIME).await;
        assert!(!peer.is_closed(), "this response was read");
        let _unread = attach().await;
        tokio::time::sleep(2 * MAX_READ_TIME).await;
        assert!(peer.is_closed());
    }
}
