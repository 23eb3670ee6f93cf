#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| face_liveness_facade::fuzzing::upstream_response(data));
