//! Tests that the search finds planted data in every encoding.

use super::*;
use bytes::Bytes;
use face_liveness_facade::proto::{LivenessImage, LivenessResult};
use prost::Message;

const NOISE: &str =
    r#"{"timestamp":"2026-01-02T03:04:05.678901Z","level":"TRACE","millis":86.543,"session":"0a1b2c3d4e5f"}"#;

/// Asserts that the search finds this secret and no other, in other text and at each alignment.
fn assert_found(secret: Secret, form: impl AsRef<[u8]>) {
    let form = form.as_ref();
    for before in 0..3 {
        let sample = [NOISE.as_bytes(), &vec![b' '; before], form, NOISE.as_bytes()].concat();
        let found: Vec<_> = found(&sample).into_keys().collect();
        assert_eq!(found, [secret], "{:?}", String::from_utf8_lossy(form));
    }
}

fn url_safe(text: &str) -> String {
    text.replace('+', "-").replace('/', "_")
}

/// Asserts that the search finds the bytes in all common formats.
fn assert_bytes_are_found(secret: Secret, bytes: &[u8]) {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let debug = format!("{:?}", Bytes::copy_from_slice(bytes));
    let list = format!("{bytes:?}");
    let pretty = serde_json::to_string(&format!("{bytes:#?}")).unwrap();
    let json = serde_json::to_string(&debug).unwrap();
    let lists = [format!("{bytes:x?}"), format!("{bytes:X?}"), format!("{bytes:02x?}"), format!("{bytes:#04x?}")];
    let numbers = serde_json::to_string(bytes).unwrap();
    for form in [&hex, &hex.to_uppercase(), &debug, &list, &pretty, &json, &numbers].into_iter().chain(&lists) {
        assert_found(secret, form);
    }
    assert_found(secret, bytes);
    for before in 0..3 {
        let form = base64::encode([&vec![b'x'; before], bytes].concat());
        assert_found(secret, url_safe(&form));
        assert_found(secret, form);
    }
}

#[test]
fn clean_text_has_no_findings() {
    let all = [NOISE, r#"{"millis":87.654,"code":"NOT_FOUND"} 0123abcd-0000-4000-8000-000000000001 faces/key"#];
    assert_eq!(found(all.concat().as_bytes()), Found::new());
    assert_eq!(found_rounded_too(NOISE.as_bytes()), Found::new());
}

#[test]
fn an_image_is_found_in_every_encoding_and_in_fragments() {
    let image = planted::image();
    assert_bytes_are_found(Secret::Image, &image);
    assert_bytes_are_found(Secret::Image, &image[..16]);
    assert_bytes_are_found(Secret::Image, &image[1234..1270]);
    assert_found(Secret::Image, String::from_utf8_lossy(&image).as_bytes());
    let message = LivenessImage { content: image.into(), ..Default::default() }.encode_to_vec();
    assert_bytes_are_found(Secret::Image, &message);
}

#[test]
fn a_confidence_is_found_in_every_precision_and_as_a_number() {
    let exact = 87.65432_f64;
    let widened = f64::from(CONFIDENCE);
    for form in [
        CONFIDENCE.to_string(),
        exact.to_string(),
        widened.to_string(),
        format!("Some({CONFIDENCE:?})"),
        format!("{CONFIDENCE:.4}"),
        CONFIDENCE.to_bits().to_string(),
        format!("{:x}", exact.to_bits()),
    ] {
        assert_found(Secret::Confidence, form);
    }
    for form in [CONFIDENCE.to_le_bytes(), CONFIDENCE.to_be_bytes()] {
        assert_found(Secret::Confidence, form);
    }
    for form in [exact.to_le_bytes(), exact.to_be_bytes(), widened.to_le_bytes(), widened.to_be_bytes()] {
        assert_found(Secret::Confidence, form);
    }
    let message = LivenessResult { confidence: Some(CONFIDENCE), ..Default::default() };
    assert_found(Secret::Confidence, message.encode_to_vec());
    let precisions = [1, 2, 3].map(|digits| format!("{CONFIDENCE:.digits$}"));
    for form in precisions.into_iter().chain([format!("{CONFIDENCE:e}"), (CONFIDENCE / 100.0).to_string()]) {
        assert!(found_rounded_too(form.as_bytes()).contains_key(&Secret::Confidence), "{form}");
    }
}

#[test]
fn an_s3_key_is_found_in_every_encoding() {
    for text in [BUCKET.to_owned(), format!("{KEY}/x/reference.jpg")] {
        assert_bytes_are_found(Secret::Key, text.as_bytes());
        assert_found(Secret::Key, serde_json::to_string(&text).unwrap().replace('/', r"\/"));
    }
}

#[test]
fn a_session_id_is_found_in_every_encoding() {
    for number in [0, 1, 0xfff] {
        let id = planted::id(number);
        let plain = id.replace('-', "");
        let bits = u128::from_str_radix(&plain, 16).unwrap();
        assert_bytes_are_found(Secret::Session, id.as_bytes());
        assert_bytes_are_found(Secret::Session, plain.as_bytes());
        assert_found(Secret::Session, bits.to_be_bytes());
        assert_found(Secret::Session, bits.to_le_bytes());
        assert_found(Secret::Session, format!("{:?}", bits.to_be_bytes()));
        assert_found(Secret::Session, base64::encode(bits.to_be_bytes()));
        let halves = format!("({}, {})", bits >> 64, bits as u64);
        for form in [&id.to_uppercase(), &id[..8], &id[24..], &bits.to_string(), &format!("{bits:x}"), &halves] {
            assert_found(Secret::Session, form);
        }
    }
}
