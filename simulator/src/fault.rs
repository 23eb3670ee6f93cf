//! Scripted faults: which requests they match, and what happens to those.
//!
//! Faults match in the order in which they were added, and are removed when used up. The endpoint
//! carries them out.

use std::{
    mem,
    sync::{Mutex, MutexGuard},
};

use axum::http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use crate::wire::Operation;

/// Faults kept at a time. Each request searches all of them.
const MAX_FAULTS: usize = 100;

/// A fault, the requests that it matches, and how often. A request matches at most one fault. It
/// counts as received, and does not use the quota.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// `None` matches both operations.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// `None` matches any session, and creations.
    #[serde(default)]
    pub session_id: Option<String>,
    /// Number of requests. `None` means all until the faults are cleared.
    #[serde(default)]
    pub times: Option<u32>,
    /// What happens to a matching request.
    pub kind: FaultKind,
}

impl Fault {
    /// Creates a fault that matches every request until it is cleared.
    pub fn new(kind: FaultKind) -> Self {
        Self { operation: None, session_id: None, times: None, kind }
    }
}

/// What happens to a request that matches a fault.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// The response is an error in AWS's form.
    Error {
        /// `__type` and `Code`, such as `ThrottlingException` or
        /// `com.amazonaws.rekognition#AccessDeniedException`.
        code: String,
        /// HTTP status, 200..=599.
        #[serde(default = "bad_request")]
        status: u16,
        /// `None` omits the message.
        #[serde(default)]
        message: Option<String>,
    },
    /// The normal response, delayed.
    Latency {
        /// Milliseconds of real time, added to the simulator's latency.
        ms: u64,
    },
    /// No response until the caller cancels or the simulator shuts down.
    Hang,
    /// The headers and half of the body of the normal response, and then nothing.
    HangBody,
    /// The headers and half of the body. Then the connection is closed.
    CutBody,
    /// A response as of a proxy between the caller and AWS, without a request id.
    Raw {
        /// HTTP status, 200..=599.
        status: u16,
        /// `None` omits the header.
        #[serde(default)]
        content_type: Option<String>,
        /// Sent unchanged.
        #[serde(default)]
        body: String,
    },
}

fn bad_request() -> u16 {
    StatusCode::BAD_REQUEST.as_u16()
}

impl FaultKind {
    /// Returns the name in the log and in the counts.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Error { .. } => "fault: error",
            Self::Latency { .. } => "fault: latency",
            Self::Hang => "fault: hang",
            Self::HangBody => "fault: hang_body",
            Self::CutBody => "fault: cut_body",
            Self::Raw { .. } => "fault: raw",
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Error { status, .. } | Self::Raw { status, .. } if !(200..=599).contains(status) => {
                Err("A fault's status must be a number from 200 to 599.")
            }
            Self::Raw { content_type: Some(kind), .. } if HeaderValue::from_str(kind).is_err() => {
                Err("A fault's content_type must be a valid HTTP header value.")
            }
            _ => Ok(()),
        }
    }
}

/// The faults that can still match.
#[derive(Default)]
pub(crate) struct Faults {
    faults: Mutex<Vec<Fault>>,
}

impl Faults {
    pub fn add(&self, fault: Fault) -> Result<(), &'static str> {
        fault.kind.check()?;
        if fault.times == Some(0) {
            return Err("A fault's times must be at least 1. Without it, the fault lasts until it is cleared.");
        }
        let mut faults = self.lock();
        if faults.len() >= MAX_FAULTS {
            return Err("The maximum of 100 faults is reached. Clear them first.");
        }
        faults.push(fault);
        Ok(())
    }

    /// Returns the fault that a request matches, and counts its use.
    pub fn take(&self, operation: Operation, session_id: Option<&str>) -> Option<FaultKind> {
        let mut faults = self.lock();
        let at = faults.iter().position(|fault| {
            fault.operation.is_none_or(|wanted| wanted == operation)
                && fault.session_id.as_deref().is_none_or(|wanted| Some(wanted) == session_id)
        })?;
        let kind = faults[at].kind.clone();
        if let Some(times) = &mut faults[at].times {
            *times -= 1;
            if *times == 0 {
                faults.remove(at);
            }
        }
        Some(kind)
    }

    pub fn list(&self) -> Vec<Fault> {
        self.lock().clone()
    }

    /// Removes all faults, and returns their number.
    pub fn clear(&self) -> usize {
        mem::take(&mut *self.lock()).len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.faults.lock().expect("no code panics while it holds this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Operation = Operation::GetFaceLivenessSessionResults;

    fn fault(json: &str) -> Result<Fault, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn faults_match_in_order_and_are_used_up() {
        let faults = Faults::default();
        faults.add(Fault { session_id: Some("a".into()), times: Some(1), ..Fault::new(FaultKind::Hang) }).unwrap();
        faults.add(Fault { operation: Some(GET), ..Fault::new(FaultKind::CutBody) }).unwrap();
        assert_eq!(faults.take(GET, Some("b")), Some(FaultKind::CutBody));
        assert_eq!(faults.take(GET, Some("a")), Some(FaultKind::Hang));
        assert_eq!(faults.take(GET, Some("a")), Some(FaultKind::CutBody));
        assert_eq!(faults.take(Operation::CreateFaceLivenessSession, None), None);
        assert_eq!(faults.clear(), 1);
        assert_eq!(faults.take(GET, Some("a")), None);
    }

    #[test]
    fn faults_are_parsed_from_json() {
        let error = FaultKind::Error { code: "X".into(), status: 400, message: None };
        assert_eq!(fault(r#"{"kind": {"error": {"code": "X"}}}"#).unwrap(), Fault::new(error));
        let hang = fault(r#"{"kind": "hang", "operation": "GetFaceLivenessSessionResults", "times": 2}"#).unwrap();
        assert_eq!((hang.kind.clone(), hang.operation, hang.times), (FaultKind::Hang, Some(GET), Some(2)));
        assert_eq!(fault(&serde_json::to_string(&hang).unwrap()).unwrap(), hang);
    }

    #[test]
    fn the_error_names_what_is_wrong_with_a_fault() {
        for (json, expected) in [
            (r#"{"kind": "hung"}"#, "unknown variant `hung`"),
            (r#"{"kind": "hang", "count": 1}"#, "unknown field `count`"),
            (r#"{"kind": {"error": {"kode": "X"}}}"#, "unknown field `kode`"),
            (r#"{"times": 1}"#, "missing field `kind`"),
        ] {
            let error = fault(json).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let raw = FaultKind::Raw { status: 99, content_type: None, body: String::new() };
        assert!(Faults::default().add(Fault::new(raw)).unwrap_err().contains("status"));
        let never = Fault { times: Some(0), ..Fault::new(FaultKind::Hang) };
        assert!(Faults::default().add(never).unwrap_err().contains("times"));
    }

    #[test]
    fn the_number_of_faults_is_limited() {
        let faults = Faults::default();
        for _ in 0..MAX_FAULTS {
            faults.add(Fault::new(FaultKind::Hang)).unwrap();
        }
        assert!(faults.add(Fault::new(FaultKind::Hang)).is_err());
    }
}
