//! Fuzz targets for all code that parses input from outside. Each is a function that panics if an
//! invariant is violated.
//!
//! `fuzz/` runs them with libFuzzer. The tests run them with the same corpus and some thousand
//! mutations of it. Other builds do not contain this module.

mod request;
mod simulator;
mod text;
mod upstream;
mod xfcc;

pub use self::{request::request, simulator::simulator, upstream::upstream_response, xfcc::xfcc};

use std::future::Future;
use tonic_types::{ErrorDetail, StatusExt};

const SESSION_ID: &str = "2cf2a1a5-1a2b-4c3d-8e4f-0123456789ab";

/// Runs a future on a paused clock, which skips all waiting.
fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_time().start_paused(true).build().expect("a runtime without I/O can always start")
        };
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// Asserts that a status has one ErrorInfo, and contains only sanitized texts of AWS.
fn assert_valid(status: &tonic::Status) {
    let details = status.get_error_details_vec();
    let infos = details.iter().filter_map(|detail| match detail {
        ErrorDetail::ErrorInfo(info) => Some(info),
        _ => None,
    });
    let [info] = infos.collect::<Vec<_>>()[..] else { panic!("not one ErrorInfo: {details:?}") };
    for (key, value) in &info.metadata {
        let is_sanitized = match key.as_str() {
            "awsErrorCode" => text::is_sanitized(value, "_."),
            "awsRequestId" => text::is_sanitized(value, "-"),
            key => panic!("{key} is not a key of the contract"),
        };
        assert!(is_sanitized, "{key}: {value:?}");
    }
}

#[cfg(test)]
mod tests;
