//! gRPC server reflection in both versions: older tools know only v1alpha.

use crate::{grpc::MAX_REQUEST_BYTES, proto};
use tonic_reflection::server::{v1, v1alpha};

/// Returns the reflection services. They include google.rpc, so that tools can print error details.
pub fn services() -> (
    v1::ServerReflectionServer<impl v1::ServerReflection>,
    v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>,
) {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let valid = "the descriptors were compiled with this program";
    (
        builder().build_v1().expect(valid).max_decoding_message_size(MAX_REQUEST_BYTES),
        builder().build_v1alpha().expect(valid).max_decoding_message_size(MAX_REQUEST_BYTES),
    )
}
