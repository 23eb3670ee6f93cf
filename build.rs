//! Compiles the contract with `protox` instead of protoc, so that a build needs only cargo and a C
//! compiler.

use std::{env, error::Error, fs, path::PathBuf};

const PROTO: &str = "faceliveness/v1/face_liveness_service.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::Compiler::new(["proto"])?
        .include_imports(true)
        .include_source_info(true)
        .open_file(PROTO)?
        .file_descriptor_set();

    // Reflection serves the descriptors without comments, which keeps them short.
    let mut served = descriptors.clone();
    served.file.iter_mut().for_each(|file| file.source_code_info = None);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("faceliveness.v1.bin"), prost::Message::encode_to_vec(&served))?;

    let methods: Vec<_> = descriptors.file.iter().filter(|file| file.name() == PROTO).flat_map(methods).collect();
    fs::write(out.join("faceliveness.v1.methods.rs"), methods.join("\n"))?;

    let mut config = prost_build::Config::new();
    // `bytes::Bytes` is shared, not copied; `proto.rs` writes the Debug of what must not be
    // printed.
    config.bytes([".faceliveness.v1.LivenessImage.content"]);
    config.skip_debug([
        ".faceliveness.v1.GetLivenessResultRequest",
        ".faceliveness.v1.LivenessResult",
        ".faceliveness.v1.LivenessImage",
        ".faceliveness.v1.S3Object",
    ]);
    let builder = tonic_prost_build::configure().codec_path("crate::grpc::MessageCodec");
    builder.compile_fds_with_config(descriptors.clone(), config)?;

    // The baseline of the benchmarks: a server with tonic's own codec.
    let baseline = out.join("baseline");
    fs::create_dir_all(&baseline)?;
    let mut config = prost_build::Config::new();
    config.bytes([".faceliveness.v1.LivenessImage.content"]);
    let builder = tonic_prost_build::configure().build_client(false).out_dir(baseline);
    builder.compile_fds_with_config(descriptors, config)?;
    Ok(())
}

/// Generates a constant for each method, such as `GET_LIVENESS_RESULT`. tonic generates none.
fn methods(file: &prost_types::FileDescriptorProto) -> Vec<String> {
    let constant = |service: &str, method: &str| {
        let upper = |c: char| if c.is_uppercase() { format!("_{c}") } else { c.to_uppercase().to_string() };
        let name: String = method.chars().map(upper).collect();
        format!(
            r#"pub const {}: Method = Method {{ service: "{service}", name: "{method}", full_name: "{service}/{method}", path: "/{service}/{method}" }};"#,
            name.trim_start_matches('_')
        )
    };
    let of_service = |service: &prost_types::ServiceDescriptorProto| {
        let name = format!("{}.{}", file.package(), service.name());
        service.method.iter().map(|method| constant(&name, method.name())).collect::<Vec<_>>()
    };
    file.service.iter().flat_map(of_service).collect()
}
