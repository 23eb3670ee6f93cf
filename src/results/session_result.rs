//! What one read of AWS said, with image content set apart from all the rest.
//!
//! The rest is small and may be held for long; faces are big, and held for as short as possible.

use super::priority::ReReadPriority;
use crate::proto;
use bytes::Bytes;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// AWS forgets a session three minutes after its creation, so at most so long after any read of it.
/// <https://docs.aws.amazon.com/rekognition/latest/APIReference/API_CreateFaceLivenessSession.html>
pub const AWS_LIFETIME: Duration = Duration::from_secs(180);

/// Everything that a read said but the content of images.
#[derive(Clone)]
pub struct SessionResult {
    /// The result, with the content of every image left empty.
    pub message: proto::LivenessResult,
    /// When the read ended: for callers, and for this process.
    pub read_time: SystemTime,
    pub read_at: Instant,
    /// When this process came to know it, and whether another replica had read it.
    pub arrived: Instant,
    pub is_shared: bool,
    /// Until when this outcome is held here at the latest, and its image content; not after
    /// `read_at` when it is not held.
    pub expires_at: Instant,
    pub images_expire_at: Instant,
    /// The content that AWS sent, whether it is held or not.
    pub sent: ImageSet,
}

/// The response to a caller. Cheap to clone: callers that shared a read each get a clone.
#[derive(Clone)]
pub struct SessionResponse {
    pub result: Arc<SessionResult>,
    /// The image content as far as it is cached. None if it was not requested or is no longer cached.
    pub images: Option<Arc<Images>>,
}

/// Some of a session's images: those that AWS sent content of, that a view asks for, or that this
/// server may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageSet {
    pub reference: bool,
    pub audit: bool,
}

/// The content of a session's images.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Images {
    /// Empty when AWS sent none.
    pub reference: Bytes,
    /// As many as the result has audit images, each of them empty when AWS sent no content for it.
    pub audit: Vec<Bytes>,
}

impl SessionResult {
    /// Sets the content of `result`'s images apart from it. Nothing is held yet.
    pub fn split(mut result: proto::LivenessResult) -> (Self, Images) {
        let reference =
            result.reference_image.as_mut().map(|image| std::mem::take(&mut image.content)).unwrap_or_default();
        let audit = result.audit_images.iter_mut().map(|image| std::mem::take(&mut image.content)).collect();
        let images = Images { reference, audit };
        let now = Instant::now();
        let outcome = Self {
            message: result,
            read_time: SystemTime::now(),
            read_at: now,
            arrived: now,
            is_shared: false,
            expires_at: now,
            images_expire_at: now,
            sent: images.present(),
        };
        (outcome, images)
    }

    /// `until` as callers read it.
    pub fn expire_time(&self) -> Option<SystemTime> {
        self.wall_time(self.expires_at)
    }

    /// `images_expire_at` as callers read it.
    pub fn image_expire_time(&self) -> Option<SystemTime> {
        self.wall_time(self.images_expire_at)
    }

    fn wall_time(&self, until: Instant) -> Option<SystemTime> {
        (until > self.read_at).then(|| self.read_time + (until - self.read_at))
    }

    /// Whether the session may still be unfinished, as this outcome has it: AWS forgets it in the
    /// end.
    pub fn may_be_pending(&self) -> bool {
        self.read_at.elapsed() < AWS_LIFETIME
    }

    /// Whether a later read says the same of the session, so that its images are those of this
    /// outcome.
    pub fn agrees_with(&self, later: &Self) -> bool {
        let said = |outcome: &Self| {
            let result = &outcome.message;
            (result.status, result.confidence, result.audit_images.len())
        };
        said(self) == said(later)
    }

    /// How soon the session is worth another read.
    pub fn re_read_priority(&self) -> ReReadPriority {
        ReReadPriority::of(self.message.status(), self.read_at)
    }

    /// Whether AWS cannot say anything else about this session any more.
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

    /// What is in both.
    pub const fn and(self, other: Self) -> Self {
        Self { reference: self.reference && other.reference, audit: self.audit && other.audit }
    }
}

impl Images {
    /// Whose content is here.
    pub fn present(&self) -> ImageSet {
        ImageSet { reference: !self.reference.is_empty(), audit: self.audit.iter().any(|image| !image.is_empty()) }
    }

    /// The same with nothing but what `allowed` names; the rest leaves memory (`Bytes::clear` would
    /// keep it).
    pub fn only(mut self, allowed: ImageSet) -> Self {
        if !allowed.reference {
            self.reference = Bytes::new();
        }
        if !allowed.audit {
            self.audit.fill(Bytes::new());
        }
        self
    }

    /// The bytes of all images together.
    pub fn size(&self) -> usize {
        self.reference.len() + self.audit.iter().map(Bytes::len).sum::<usize>()
    }
}

/// Sizes, and no face.
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
    fn a_face_is_not_printed() {
        let images = Images { reference: "FACE".into(), audit: vec!["FACE".into()] };
        assert_eq!(format!("{images:?}"), "Images { reference: 4, audit: [4] }");
    }
}
