//! The images of the sessions read lately, drawn once and kept as the base64 that goes into answers.
//!
//! Images follow from the session id, so forgetting one costs time and changes nothing. Drawing is work for the
//! processor: it happens on the blocking threads, a few at a time, and never under a lock that others wait for.

use std::sync::{Arc, Mutex};

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::sync::{OnceCell, Semaphore};

use crate::{
    newest::Newest,
    portrait::{BoundingBox, Portrait},
};

/// Sessions whose images are kept: at most five images of some 60 kB each in base64, 20 MB in all.
const MOST: usize = 64;

/// Drawings at a time. More than there are processors only makes each of them slower.
const EASELS: usize = 4;

/// The images of a session, the reference first.
type Pictures = Arc<Vec<Picture>>;

pub(crate) struct Picture {
    pub base64: String,
    pub bounding_box: BoundingBox,
}

pub(crate) struct Album {
    pages: Mutex<Newest<Arc<OnceCell<Pictures>>>>,
    easels: Semaphore,
}

impl Default for Album {
    fn default() -> Self {
        Self { pages: Mutex::new(Newest::new(MOST)), easels: Semaphore::new(EASELS) }
    }
}

impl Album {
    /// The reference image and that many audit images.
    pub async fn pictures(&self, session_id: &str, audit_images: u8) -> Pictures {
        let page = {
            let mut pages = self.pages.lock().expect("no code panics while it holds this lock");
            Arc::clone(pages.entry(&format!("{session_id} {audit_images}")))
        };
        Arc::clone(page.get_or_init(|| self.draw(session_id.to_owned(), audit_images)).await)
    }

    async fn draw(&self, session_id: String, audit_images: u8) -> Pictures {
        let _easel = self.easels.acquire().await.expect("the semaphore is never closed");
        let drawing = tokio::task::spawn_blocking(move || {
            (0..=audit_images).map(|image| Picture::of(&Portrait::of(&session_id, image))).collect()
        });
        Arc::new(drawing.await.expect("drawing does not panic"))
    }
}

impl Picture {
    fn of(portrait: &Portrait) -> Self {
        Self { base64: BASE64_STANDARD.encode(portrait.draw()), bounding_box: portrait.bounding_box() }
    }
}
