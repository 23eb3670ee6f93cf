//! The gRPC code of an error as telemetry needs it: its name, and whose fault it is.

use super::Error;

/// gRPC's codes by their numbers. <https://grpc.io/docs/guides/status-codes/>
#[rustfmt::skip]
pub(super) const NAMES: [&str; 17] = [
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Error {
    /// The code's name in gRPC's spelling, such as `NOT_FOUND`.
    pub fn code_name(&self) -> &'static str {
        NAMES[self.reason.row().code as usize]
    }

    /// Whether the code says that the server failed, and not that the caller asked for what cannot
    /// be had. The set is OpenTelemetry's, for the spans of servers.
    /// <https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>
    pub fn is_server_fault(&self) -> bool {
        matches!(
            self.code_name(),
            "UNKNOWN" | "DEADLINE_EXCEEDED" | "UNIMPLEMENTED" | "INTERNAL" | "UNAVAILABLE" | "DATA_LOSS"
        )
    }
}
