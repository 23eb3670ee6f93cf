use super::*;
use proptest::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

fn key(number: u8) -> Key {
    Key::parse(&BASE64_STANDARD.encode([number; KEY_BYTES])).expect("32 bytes in base64")
}

fn session(number: u8) -> SessionId {
    SessionId::parse(&format!("0123abcd-0000-4000-8000-0000000000{number:02x}")).expect("a session id")
}

/// What comes of a key file with this text.
fn read(text: &str) -> Result<Keyring, String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("face-liveness-keyring-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    let file = std::env::temp_dir().join(name);
    fs::write(&file, text).expect("the folder for temporary files takes one");
    let keyring = Keyring::read(&file);
    fs::remove_file(file).ok();
    keyring
}

fn line(number: u8) -> String {
    BASE64_STANDARD.encode([number; KEY_BYTES])
}

/// The sentence about a key file with this text.
fn refusal(text: &str) -> String {
    read(text).err().expect("it is refused")
}

proptest! {
    #[test]
    fn what_was_sealed_opens_again_and_shows_nothing(value: Vec<u8>) {
        let sealed = key(1).seal(session(1), Kind::Result, value.clone());
        prop_assert!(value.len() < 4 || !sealed.windows(value.len()).any(|window| window == value));
        prop_assert_eq!(key(1).open(session(1), Kind::Result, sealed), Some(Bytes::from(value)));
    }

    #[test]
    fn nothing_opens_when_a_bit_of_it_was_flipped(value: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
        let mut sealed = key(1).seal(session(1), Kind::Result, value);
        let at = at.index(sealed.len());
        sealed[at] ^= 1_u8 << bit;
        prop_assert_eq!(key(1).open(session(1), Kind::Result, sealed), None);
    }

    #[test]
    fn nothing_opens_that_was_cut_short(value: Vec<u8>, length: prop::sample::Index) {
        let mut sealed = key(1).seal(session(1), Kind::Result, value);
        sealed.truncate(length.index(sealed.len()));
        prop_assert_eq!(key(1).open(session(1), Kind::Result, sealed), None);
    }

    #[test]
    fn nothing_opens_that_nobody_sealed(bytes: Vec<u8>) {
        prop_assert_eq!(key(1).open(session(1), Kind::Result, bytes), None);
    }
}

#[test]
fn a_value_opens_for_its_own_session_kind_and_key_alone() {
    let sealed = || key(1).seal(session(1), Kind::Result, b"sealed".to_vec());
    assert_eq!(key(2).open(session(1), Kind::Result, sealed()), None);
    assert_eq!(key(1).open(session(2), Kind::Result, sealed()), None);
    for kind in [Kind::Images, Kind::State] {
        assert_eq!(key(1).open(session(1), kind, sealed()), None);
    }
}

#[test]
fn the_same_value_is_never_sealed_into_the_same_bytes() {
    let sealed = || key(1).seal(session(1), Kind::Result, b"sealed".to_vec());
    assert_ne!(sealed(), sealed());
}

#[test]
fn a_name_is_of_one_session_under_one_key() {
    let name = key(1).name(session(1));
    assert_eq!((name.len(), &name), (32, &key(1).name(session(1))));
    assert_ne!(name, key(1).name(session(2)));
    assert_ne!(name, key(2).name(session(1)));
}

#[test]
fn the_last_line_seals_and_every_line_opens() {
    let keyring = read(&format!("{}\n\n  {}\r\n", line(1), line(2))).expect("two keys");
    assert_eq!(keyring.newest().name(session(1)), key(2).name(session(1)));
    let names: Vec<_> = keyring.all().map(|key| key.name(session(1))).collect();
    assert_eq!(names, [2, 1].map(|number| key(number).name(session(1))));
}

#[test]
fn a_bad_line_is_told_by_its_number_and_without_its_content() {
    let long = BASE64_STANDARD.encode([7; KEY_BYTES + 1]);
    for bad in ["c2VjcmV0", "not base64 at all, but a secret", &long] {
        let sentence = refusal(&format!("{}\n\n{bad}\n", line(1)));
        assert!(sentence.contains("line 3"), "{sentence}");
        assert!(!sentence.contains(bad) && !sentence.contains(&line(1)), "{sentence}");
    }
}

#[test]
fn a_file_without_a_key_or_with_too_many_is_refused_with_their_number() {
    assert!(refusal("\n \n").contains("holds 0"));
    let five: String = (1..=5).map(|number| line(number) + "\n").collect();
    let sentence = refusal(&five);
    assert!(sentence.contains("holds 5") && !sentence.contains(&line(5)), "{sentence}");
}

#[test]
fn a_file_that_is_not_there_is_refused_by_its_name() {
    let sentence = Keyring::read(Path::new("/nowhere/keys")).err().expect("it is refused");
    assert!(sentence.starts_with("/nowhere/keys cannot be read: "), "{sentence}");
}
