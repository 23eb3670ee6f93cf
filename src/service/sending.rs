//! Faces on their way out: an answer with images is up to a megabyte, and stays in memory until its caller has taken it.
//!
//! So only so many bytes of them may be on their way at once, and each only for so long. Whoever is too late asks again.

use super::Message;
use crate::error::{Error, Reason};
use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, codegen::Bytes};

type Frame = http_body::Frame<Bytes>;

/// All answers with images that are on their way together: some 64 of the largest.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Room is given out in pieces of a KiB.
const PIECE: usize = 1024;

/// A megabyte in a minute is slower than any network that is worth waiting for.
const LONGEST: Duration = Duration::from_secs(60);

/// Who waits for room holds its faces meanwhile, whether the cache still does or not.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// HTTP/2 takes what it is given, whether the caller reads it or not; so it is given a part at a time, two of its frames. Parts of one frame
/// cost some 5% more of an answer with three faces, and larger ones would each be a mapping of its own (`MALLOC_MMAP_THRESHOLD_`).
const PART: usize = 32 * 1024;

/// The room for answers with images. Cheap to clone.
#[derive(Clone)]
pub struct Room(Arc<Semaphore>);

/// A response's share of the image budget, without the parts that HTTP/2 holds already.
pub struct Sending {
    share: OwnedSemaphorePermit,
}

/// A part of a response with its share of the image budget. The share returns when HTTP/2 has
/// written or dropped the part.
struct Part {
    bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Room {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_BYTES / PIECE)))
    }

    /// Room for so many bytes, first come, first served.
    ///
    /// # Errors
    /// OVERLOADED when there is none until `answer_by`, or for a while.
    pub async fn take(&self, bytes: usize, answer_by: Instant) -> Result<Sending, Error> {
        let answer_by = answer_by.min(Instant::now() + LONGEST_WAIT);
        let pieces = u32::try_from(bytes.div_ceil(PIECE).min(MAX_BYTES / PIECE)).expect("the room has fewer pieces");
        let taken = timeout_at(answer_by, Arc::clone(&self.0).acquire_many_owned(pieces)).await;
        let permit = taken.map_err(|_| Error::new(Reason::Overloaded))?.expect("the room is never closed");
        Ok(Sending { share: permit })
    }
}

impl Sending {
    /// Attaches to these bytes their share of the image budget.
    fn hand_over(&mut self, bytes: Bytes) -> Bytes {
        let pieces = bytes.len().div_ceil(PIECE).min(self.share.num_permits());
        Bytes::from_owner(Part { _share: self.share.split(pieces), bytes })
    }

    /// The answer's body, which takes room until it is sent or given up.
    pub fn body(self, message: Message) -> Parts {
        let held = Arc::new(Mutex::new(Some((message, self))));
        let late = Arc::clone(&held);
        // A caller who reads nothing has its body not even polled, so the end comes from elsewhere.
        let watch = tokio::spawn(async move {
            tokio::time::sleep(LONGEST).await;
            *late.lock().expect(NO_PANIC) = None;
        });
        Parts { held, told: false, _watch: AbortOnDropHandle::new(watch) }
    }
}

const NO_PANIC: &str = "nothing panics under this lock";

/// An answer with images, a part at a time.
pub struct Parts {
    /// What of the answer is not with HTTP/2 yet, and its room; nothing once it has been given up.
    held: Arc<Mutex<Option<(Message, Sending)>>>,
    // That it has been given up.
    told: bool,
    _watch: AbortOnDropHandle<()>,
}

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, Status>>> {
        let this = &mut *self;
        let mut held = this.held.lock().expect(NO_PANIC);
        let frame = match &mut *held {
            // A copy: HTTP/2 keeps the part of a caller who reads nothing, and a slice would keep the whole image with it.
            Some((message, sending)) => {
                let part = message.copy(PART).map(|part| Frame::data(sending.hand_over(part)));
                part.or_else(|| message.trailers().map(Frame::trailers))
            }
            None if std::mem::replace(&mut this.told, true) => None,
            None => Some(Frame::trailers(Error::new(Reason::Overloaded).to_trailers())),
        };
        Poll::Ready(frame.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::sync::Weak;
    use tokio::time::advance;

    fn message(bytes: usize) -> Message {
        Message::from(Bytes::from(vec![7; bytes]))
    }

    /// An answer of a megabyte, and how many hold on to it.
    fn counted() -> (Message, Weak<()>) {
        struct Answer(Vec<u8>, #[expect(dead_code, reason = "it is counted")] Arc<()>);
        impl AsRef<[u8]> for Answer {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let memory = Arc::new(());
        let held = Arc::downgrade(&memory);
        (Message::from(Bytes::from_owner(Answer(vec![7; 1024 * 1024], memory))), held)
    }

    async fn take(room: &Room, bytes: usize) -> Result<Sending, Error> {
        room.take(bytes, Instant::now() + Duration::from_secs(5)).await
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_is_told_so_at_its_time_and_the_next_has_what_becomes_free() {
        let room = Room::new();
        let first = take(&room, MAX_BYTES - PIECE).await.expect("there is room");
        take(&room, 10 * PIECE).await.map(drop).expect_err("there is none");
        take(&room, PIECE).await.expect("one piece is left");
        drop(first);
        take(&room, 10 * PIECE).await.expect("it is free again");
    }

    #[tokio::test]
    async fn an_answer_is_given_whole_and_in_parts() {
        let room = Room::new();
        let mut body = take(&room, 3 * PART).await.expect("there is room").body(message(2 * PART + 1));
        let mut parts = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame.expect("it is sent").into_data() {
                Ok(data) => parts.push(data.len()),
                Err(end) => assert_eq!(end.into_trailers().expect("trailers")["grpc-status"], "0"),
            }
        }
        assert_eq!(parts, [PART, PART, 1]);
        drop(body);
        take(&room, MAX_BYTES).await.expect("all is free again");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_given_up_though_nobody_looks() {
        let room = Room::new();
        let mut body = take(&room, MAX_BYTES).await.expect("there is room").body(message(2 * PART));
        body.frame().await.expect("a part").expect("it is sent");
        // The task that gives up starts to count when it first runs.
        tokio::task::yield_now().await;
        advance(LONGEST).await;
        tokio::task::yield_now().await;
        take(&room, MAX_BYTES).await.expect("its room is free");
        let end = body.frame().await.expect("an end").expect("it is no error of the stream");
        let status = Status::from_header_map(&end.into_trailers().expect("trailers")).expect("a status");
        assert_eq!(status.message(), Error::new(Reason::Overloaded).to_status(&Default::default()).message());
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_leaves_memory_but_for_the_part_that_was_given_to_http2() {
        let room = Room::new();
        let (answer, memory) = counted();
        let mut body = take(&room, 1024 * 1024).await.expect("there is room").body(answer);
        let part = body.frame().await.expect("a part").expect("it is sent").into_data().expect("there are no trailers");
        assert!(memory.upgrade().is_some());
        tokio::time::sleep(2 * LONGEST).await;
        assert!(memory.upgrade().is_none());
        assert_eq!(part.len(), PART);
    }
}
