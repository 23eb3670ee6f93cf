//! The result of one read of a session. Its image content is separate: images are large, and are
//! cached for as short a time as possible.

use crate::proto;
use bytes::Bytes;
use memmap2::MmapMut;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// AWS deletes a session three minutes after its creation, so within this time of any read of it.
/// <https://docs.aws.amazon.com/rekognition/latest/APIReference/API_CreateFaceLivenessSession.html>
pub const AWS_LIFETIME: Duration = Duration::from_secs(180);

/// The smallest image that gets its own pages. Rounding to whole pages adds at most an eighth.
const MIN_OWN_PAGES: usize = 32 * 1024;

/// The result of one read, pending or final, without image content.
#[derive(Clone)]
pub struct SessionResult {
    /// The content of every image is empty.
    pub message: proto::LivenessResult,
    /// When the read ended, by the wall clock and by this process's monotonic clock.
    pub read_time: SystemTime,
    pub read_at: Instant,
    /// When this process got the result, and whether another replica had read it.
    pub arrived: Instant,
    pub is_shared: bool,
    /// When the result and its image content expire. Not after `read_at` if they are not cached.
    pub expires_at: Instant,
    pub images_expire_at: Instant,
    /// The images that AWS sent with content, cached or not.
    pub sent: ImageSet,
}

/// The response to a caller. Cheap to clone: callers that shared a read each get a clone.
#[derive(Clone)]
pub struct SessionResponse {
    pub result: Arc<SessionResult>,
    /// The image content. None if it was not requested or is not cached.
    pub images: Option<Arc<Images>>,
}

/// A set of image kinds: those that AWS sent, that a view requests, or that this server may cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageSet {
    pub reference: bool,
    pub audit: bool,
}

/// The content of a session's images.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Images {
    /// Empty if AWS sent none.
    pub reference: Bytes,
    /// One per audit image of the result. Empty if AWS sent no content for it.
    pub audit: Vec<Bytes>,
}

impl SessionResult {
    /// Separates the image content from a result that was read now. Both are not cached yet.
    pub fn split(mut message: proto::LivenessResult) -> (Self, Images) {
        let take = |image: &mut proto::LivenessImage| std::mem::take(&mut image.content);
        let reference = message.reference_image.as_mut().map(take).unwrap_or_default();
        let images = Images { reference, audit: message.audit_images.iter_mut().map(take).collect() };
        let now = Instant::now();
        let result = Self {
            message,
            read_time: SystemTime::now(),
            read_at: now,
            arrived: now,
            is_shared: false,
            expires_at: now,
            images_expire_at: now,
            sent: images.present(),
        };
        (result, images)
    }

    /// Returns the time since the read, by this process's clock. If another replica read the result
    /// and its clock is ahead, the age starts at zero.
    pub fn age(&self) -> Duration {
        self.read_at.elapsed()
    }

    /// Returns `expires_at` by the wall clock. None if the result is not cached.
    pub fn expire_time(&self) -> Option<SystemTime> {
        self.wall_time(self.expires_at)
    }

    /// Returns `images_expire_at` by the wall clock. None if the images are not cached.
    pub fn image_expire_time(&self) -> Option<SystemTime> {
        self.wall_time(self.images_expire_at)
    }

    fn wall_time(&self, time: Instant) -> Option<SystemTime> {
        (time > self.read_at).then(|| self.read_time + (time - self.read_at))
    }

    /// Returns whether a session with this pending result may still be pending. AWS deletes it in
    /// the end.
    pub fn may_be_pending(&self) -> bool {
        self.read_at.elapsed() < AWS_LIFETIME
    }

    /// Returns whether a later read has the same result, so that its images belong to this one.
    pub fn agrees_with(&self, later: &Self) -> bool {
        let facts = |result: &Self| {
            let message = &result.message;
            (message.status, message.confidence, message.audit_images.len())
        };
        facts(self) == facts(later)
    }

    /// Returns whether the result cannot change.
    pub fn is_final(&self) -> bool {
        self.message.status().is_terminal()
    }
}

impl ImageSet {
    pub const NONE: Self = Self { reference: false, audit: false };
    pub const REFERENCE: Self = Self { reference: true, audit: false };
    pub const ALL: Self = Self { reference: true, audit: true };

    pub const fn is_empty(self) -> bool {
        !self.reference && !self.audit
    }

    /// Returns the intersection.
    pub const fn and(self, other: Self) -> Self {
        Self { reference: self.reference && other.reference, audit: self.audit && other.audit }
    }
}

impl Images {
    /// Returns the images that have content.
    pub fn present(&self) -> ImageSet {
        ImageSet { reference: !self.reference.is_empty(), audit: self.audit.iter().any(|image| !image.is_empty()) }
    }

    /// Returns only the `allowed` images. The others are freed, which `Bytes::clear` would not do.
    pub fn only(mut self, allowed: ImageSet) -> Self {
        if !allowed.reference {
            self.reference = Bytes::new();
        }
        if !allowed.audit {
            self.audit.fill(Bytes::new());
        }
        self
    }

    /// Copies large images into their own pages, which return to the system as soon as the images
    /// are freed. An allocator keeps pages that it may use again.
    pub fn in_own_pages(mut self) -> Self {
        for content in self.audit.iter_mut().chain([&mut self.reference]) {
            if content.len() >= MIN_OWN_PAGES
                && let Ok(mut pages) = MmapMut::map_anon(content.len())
            {
                pages.copy_from_slice(content);
                *content = Bytes::from_owner(pages);
            }
        }
        self
    }

    /// Returns the bytes of all images together.
    pub fn size(&self) -> usize {
        self.reference.len() + self.audit.iter().map(Bytes::len).sum::<usize>()
    }
}

/// Prints sizes, never content.
impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let audit: Vec<_> = self.audit.iter().map(Bytes::len).collect();
        f.debug_struct("Images").field("reference", &self.reference.len()).field("audit", &audit).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_has_no_image_content() {
        let images = Images { reference: "FACE".into(), audit: vec!["FACE".into()] };
        assert_eq!(format!("{images:?}"), "Images { reference: 4, audit: [4] }");
    }
}
