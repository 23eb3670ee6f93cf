use super::*;
use proptest::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

fn key(number: u8) -> Key {
    Key::parse(&BASE64_STANDARD.encode([number; KEY_BYTES])).expect("32 bytes in base64")
}

fn session(number: u8) -> SessionId {
    SessionId::parse(&format!("0123abcd-0000-4000-8000-0000000000{number:02x}")).expect("a session id")
}

/// Reads a key file with this text.
fn read(text: &str) -> Result<Keyring, String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("face-liveness-keyring-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    let file = std::env::temp_dir().join(name);
    fs::write(&file, text).expect("the temporary folder is writable");
    let keyring = Keyring::read(&file);
    fs::remove_file(file).ok();
    keyring
}

fn line(number: u8) -> String {
    BASE64_STANDARD.encode([number; KEY_BYTES])
}

/// Returns the error for a key file with this text.
fn error(text: &str) -> String {
    read(text).err().expect("an error")
}

proptest! {
    #[test]
    fn encrypted_values_hide_their_content_and_can_be_decrypted(value: Vec<u8>) {
        let encrypted = key(1).encrypt(session(1), ValueKind::Result, value.clone());
        prop_assert!(value.len() < 4 || !encrypted.windows(value.len()).any(|window| window == value));
        prop_assert_eq!(key(1).decrypt(session(1), ValueKind::Result, encrypted), Some(Bytes::from(value)));
    }

    #[test]
    fn a_value_with_a_flipped_bit_cannot_be_decrypted(value: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
        let mut encrypted = key(1).encrypt(session(1), ValueKind::Result, value);
        let at = at.index(encrypted.len());
        encrypted[at] ^= 1_u8 << bit;
        prop_assert_eq!(key(1).decrypt(session(1), ValueKind::Result, encrypted), None);
    }

    #[test]
    fn a_truncated_value_cannot_be_decrypted(value: Vec<u8>, length: prop::sample::Index) {
        let mut encrypted = key(1).encrypt(session(1), ValueKind::Result, value);
        encrypted.truncate(length.index(encrypted.len()));
        prop_assert_eq!(key(1).decrypt(session(1), ValueKind::Result, encrypted), None);
    }

    #[test]
    fn arbitrary_bytes_cannot_be_decrypted(bytes: Vec<u8>) {
        prop_assert_eq!(key(1).decrypt(session(1), ValueKind::Result, bytes), None);
    }
}

#[test]
fn a_value_is_bound_to_its_key_session_and_kind() {
    let encrypted = || key(1).encrypt(session(1), ValueKind::Result, b"value".to_vec());
    assert_eq!(key(2).decrypt(session(1), ValueKind::Result, encrypted()), None);
    assert_eq!(key(1).decrypt(session(2), ValueKind::Result, encrypted()), None);
    for kind in [ValueKind::Images, ValueKind::Status] {
        assert_eq!(key(1).decrypt(session(1), kind, encrypted()), None);
    }
}

#[test]
fn encrypting_a_value_twice_gives_different_bytes() {
    let encrypted = || key(1).encrypt(session(1), ValueKind::Result, b"value".to_vec());
    assert_ne!(encrypted(), encrypted());
}

#[test]
fn names_differ_by_session_and_key() {
    let name = key(1).name(session(1));
    assert_eq!((name.len(), &name), (32, &key(1).name(session(1))));
    assert_ne!(name, key(1).name(session(2)));
    assert_ne!(name, key(2).name(session(1)));
}

#[test]
fn the_last_line_is_the_newest_key() {
    let keyring = read(&format!("{}\n\n  {}\r\n", line(1), line(2))).expect("two keys");
    assert_eq!(keyring.newest().name(session(1)), key(2).name(session(1)));
    let names: Vec<_> = keyring.all().map(|key| key.name(session(1))).collect();
    assert_eq!(names, [2, 1].map(|number| key(number).name(session(1))));
}

#[test]
fn the_error_for_a_bad_line_has_its_number_and_not_its_content() {
    let long = BASE64_STANDARD.encode([7; KEY_BYTES + 1]);
    for bad in ["c2VjcmV0", "not base64 at all, but a secret", &long] {
        let message = error(&format!("{}\n\n{bad}\n", line(1)));
        assert!(message.contains("line 3"), "{message}");
        assert!(!message.contains(bad) && !message.contains(&line(1)), "{message}");
    }
}

#[test]
fn the_error_for_no_key_or_too_many_keys_has_their_number() {
    assert!(error("\n \n").contains("holds 0"));
    let five: String = (1..=5).map(|number| line(number) + "\n").collect();
    let message = error(&five);
    assert!(message.contains("holds 5") && !message.contains(&line(5)), "{message}");
}

#[test]
fn the_error_for_a_missing_file_has_its_path() {
    let message = Keyring::read(Path::new("/nowhere/keys")).err().expect("an error");
    assert!(message.starts_with("/nowhere/keys cannot be read: "), "{message}");
}
