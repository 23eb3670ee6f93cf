//! Compiles the contract without protoc: `protox` is the compiler, so that cargo and a C compiler are all a build needs.

use std::{env, error::Error, fs, path::PathBuf};

const PROTO: &str = "faceliveness/v1/face_liveness_service.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::Compiler::new(["proto"])?
        .include_imports(true)
        .include_source_info(true)
        .open_file(PROTO)?
        .file_descriptor_set();

    // Reflection serves the descriptors; comments would only make them longer.
    let mut served = descriptors.clone();
    served.file.iter_mut().for_each(|file| file.source_code_info = None);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("faceliveness.v1.bin"), prost::Message::encode_to_vec(&served))?;

    let mut config = prost_build::Config::new();
    // `bytes::Bytes` is shared, not copied; `proto.rs` writes the Debug of what must not be printed.
    config.bytes([".faceliveness.v1.LivenessImage.content"]);
    config.skip_debug([
        ".faceliveness.v1.GetLivenessResultRequest",
        ".faceliveness.v1.LivenessResult",
        ".faceliveness.v1.LivenessImage",
        ".faceliveness.v1.S3Object",
    ]);
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}
