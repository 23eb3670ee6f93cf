//! The gRPC code of an error for telemetry: its name, and whether the server failed.

use super::Error;

/// gRPC's codes by their numbers. <https://grpc.io/docs/guides/status-codes/>
#[rustfmt::skip]
pub(super) const NAMES: [&str; 17] = [
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Error {
    /// Returns the number of the code.
    pub fn code_number(&self) -> i32 {
        self.reason.row().code as i32
    }

    /// Returns the name of the code as gRPC spells it, such as `NOT_FOUND`.
    pub fn code_name(&self) -> &'static str {
        NAMES[self.reason.row().code as usize]
    }

    /// Whether the code means that the server failed, not the caller. The set is OpenTelemetry's,
    /// for the spans of servers.
    /// <https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>
    pub fn is_server_fault(&self) -> bool {
        matches!(
            self.code_name(),
            "UNKNOWN" | "DEADLINE_EXCEEDED" | "UNIMPLEMENTED" | "INTERNAL" | "UNAVAILABLE" | "DATA_LOSS"
        )
    }
}
