//! Reflection, in both versions, since older tools speak v1alpha only.

use crate::{grpc::MAX_REQUEST_BYTES, proto};
use tonic_reflection::server::{v1, v1alpha};

/// It knows google.rpc, so that tools print error details.
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
    let sound = "the descriptors were compiled with this program";
    (
        builder().build_v1().expect(sound).max_decoding_message_size(MAX_REQUEST_BYTES),
        builder().build_v1alpha().expect(sound).max_decoding_message_size(MAX_REQUEST_BYTES),
    )
}
