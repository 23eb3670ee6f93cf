//! What reads bytes from outside, fed with any bytes at all: one function a target, with the
//! promises it holds them to.
//!
//! A function that returns has found nothing. `fuzz/` calls them under libFuzzer, and the tests
//! here feed them the same corpus and a few thousand mutations of it. Only the two builds that need
//! it have this module.

mod request;
mod simulator;
mod text;
mod upstream;
mod xfcc;

pub use self::{request::request, simulator::simulator, upstream::upstream_answer, xfcc::xfcc};

use std::future::Future;
use tonic_types::{ErrorDetail, StatusExt};

const SESSION_ID: &str = "2cf2a1a5-1a2b-4c3d-8e4f-0123456789ab";

/// Runs to the end. Time stands still while there is work and leaps ahead when there is none, so
/// that no timeout is waited for.
fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_time().start_paused(true).build().expect("a runtime without a socket needs nothing")
        };
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// That an error reaches the caller as the contract has it, and with nothing of what caused it but
/// the two cleaned texts.
fn assert_sound(status: &tonic::Status) {
    let details = status.get_error_details_vec();
    let infos = details.iter().filter_map(|detail| match detail {
        ErrorDetail::ErrorInfo(info) => Some(info),
        _ => None,
    });
    let [info] = infos.collect::<Vec<_>>()[..] else { panic!("one ErrorInfo, and not {details:?}") };
    for (key, value) in &info.metadata {
        let is_sound = match key.as_str() {
            "awsErrorCode" => text::is_clean(value, "_."),
            "awsRequestId" => text::is_clean(value, "-"),
            key => panic!("{key} is no key of the contract"),
        };
        assert!(is_sound, "{key}: {value:?}");
    }
}

#[cfg(test)]
mod tests;
