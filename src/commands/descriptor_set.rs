//! Prints the contract as a proxy reads it, such as Envoy's gRPC-JSON transcoder.

use crate::proto;
use prost::Message;
use prost_types::FileDescriptorSet;
use std::{
    collections::HashSet,
    io::{IsTerminal, Write},
};

pub fn run() -> Result<(), String> {
    let mut output = std::io::stdout();
    if output.is_terminal() {
        let command = "face-liveness-facade descriptor-set > face-liveness.pb";
        return Err(format!("the descriptor set is binary: redirect standard output to a file, as in {command}"));
    }
    let written = output.write_all(&descriptor_set().encode_to_vec()).and_then(|()| output.flush());
    written.map_err(|error| format!("cannot write the descriptor set: {error}"))
}

/// Returns the contract, the details of its errors, and all their imports. Each file follows its
/// imports, since Envoy reads them in this order.
fn descriptor_set() -> FileDescriptorSet {
    let sets = [tonic_types::pb::FILE_DESCRIPTOR_SET, proto::FILE_DESCRIPTOR_SET];
    let mut files: Vec<_> =
        sets.into_iter().flat_map(|set| FileDescriptorSet::decode(set).expect("the build encoded it").file).collect();
    // tonic-types compiled them outside of their folder.
    for file in files.iter_mut().filter(|file| file.package() == "google.rpc") {
        file.name = Some(format!("google/rpc/{}", file.name()));
    }
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.name().to_owned()));
    FileDescriptorSet { file: files }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_has_each_file_once_after_its_imports_and_the_details_of_errors() {
        let mut seen = HashSet::new();
        for file in descriptor_set().file {
            assert!(
                file.dependency.iter().all(|import| seen.contains(import)),
                "{}: {:?}",
                file.name(),
                file.dependency
            );
            assert!(seen.insert(file.name().to_owned()), "{} is there twice", file.name());
        }
        for name in
            ["google/rpc/error_details.proto", "google/rpc/status.proto", "faceliveness/v1/face_liveness_service.proto"]
        {
            assert!(seen.contains(name), "{name} is not in {seen:?}");
        }
    }
}
