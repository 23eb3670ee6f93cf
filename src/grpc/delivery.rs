//! The delivery of a response with images, which takes many frames and may fail halfway.

use super::{
    ImagePermit, call::Call, call_count::CallCount, image_budget::Written, outcome::Outcome, recorder::Recorder,
    response::Summary, valid_request::ValidRequest,
};
use crate::{
    client::Peer,
    error::{Error, Reason},
};
use std::sync::{Arc, Mutex};
use tonic::codegen::Bytes;

/// Records a call with images by what its caller received: when that is the whole response, or when
/// the last clone is dropped before. The method gives it to the tower layers in the extensions of
/// its response, which must be `Clone`.
#[derive(Clone)]
pub struct Delivery(Arc<Inner>);

struct Inner {
    call: Arc<Call>,
    request: ValidRequest,
    response: Summary,
    images: ImagePermit,
    recorder: Recorder,
    count: Mutex<CallCount>,
}

impl Delivery {
    pub fn new(
        call: Arc<Call>,
        request: ValidRequest,
        response: Summary,
        images: ImagePermit,
        recorder: Recorder,
    ) -> Self {
        Self(Arc::new(Inner { call, request, response, images, recorder, count: Mutex::default() }))
    }

    /// Counts the call with `count` when it has ended.
    pub fn count_with(&self, count: CallCount) {
        *self.0.count.lock().expect("nothing panics under this lock") = count;
    }

    /// Attaches the share of the image budget to the encoded response.
    pub fn attach(&self, bytes: Bytes) -> (Bytes, Written) {
        self.0.images.clone().attach(bytes, Arc::clone(&self.0.call))
    }

    /// Records that the caller received the whole response.
    pub fn complete(&self) {
        self.0.record(&Outcome::Response(&self.0.response));
    }
}

impl Inner {
    fn record(&self, outcome: &Outcome<'_>) {
        self.recorder.record(&self.call, Some(&self.request), outcome);
        self.count.lock().expect("nothing panics under this lock").end(outcome.code_number());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.call.is_recorded() {
            return;
        }
        match self.call.caller.peer().is_some_and(Peer::is_closed) {
            true => self.record(&Outcome::Error(&Error::new(Reason::ResponseNotRead), Some(&self.response))),
            false => self.record(&Outcome::Cancelled(&self.response)),
        }
    }
}
