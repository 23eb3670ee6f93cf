//! The id of a Face Liveness session, and the reference that stands for it in logs.
//!
//! An id gives access to a person's face while AWS or this service has it, so its `Debug` output is
//! redacted, and it has no `Display`. Log lines contain a [`SessionRef`] instead.

use aws_lc_rs::hmac;
use std::{fmt, path::Path};
use uuid::Uuid;

/// The id that CreateFaceLivenessSession returns: a UUID of 36 characters in lower-case hex. AWS's
/// pattern is `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, of any UUID version.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u128);

/// The least entropy that an attacker cannot search: 128 bits.
const MIN_KEY_BYTES: usize = 16;

/// The only length of a UUID with hyphens and without braces or a prefix.
const LENGTH: usize = 36;

impl SessionId {
    /// Parses an id. Returns None if it does not match AWS's pattern.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != LENGTH || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        Uuid::try_parse(text).ok().map(|id| Self(id.as_u128()))
    }

    /// Returns the 128 bits of the id, for keyed hashes only.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Returns a random UUID of version 4, as AWS's are.
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid().as_u128())
    }

    /// Returns the id as AWS and the caller write it. For the wire only, never for a log.
    pub fn to_wire(self) -> String {
        Uuid::from_u128(self.0).to_string()
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(redacted)")
    }
}

/// A reference to a session in logs: the keyed hash of its id. The id cannot be computed from it,
/// and without the key it cannot be computed from the id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionRef([u8; 6]);

impl fmt::Display for SessionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The key of session references.
pub struct SessionRefKey(hmac::Key);

impl SessionRefKey {
    /// Returns a random key, for this process only.
    pub fn random() -> Self {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).expect("the operating system has random bytes");
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// Reads the key from a file, without the white space around it. It has at least 16 bytes,
    /// since an attacker that guesses the key can compute references.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn read(file: &Path) -> Result<Self, String> {
        let what = format!("--session-ref-key-file (FACE_LIVENESS_SESSION_REF_KEY_FILE): {}", file.display());
        let content = std::fs::read(file).map_err(|error| format!("{what} cannot be read: {error}"))?;
        let key = content.trim_ascii();
        if key.len() < MIN_KEY_BYTES {
            return Err(format!(
                "{what} holds {} bytes and needs {MIN_KEY_BYTES}: write one with `openssl rand -base64 32`",
                key.len()
            ));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// Returns the first 48 bits of HMAC-SHA256: enough to distinguish the sessions of a day.
    pub fn reference(&self, id: SessionId) -> SessionRef {
        let tag = hmac::sign(&self.0, &id.to_bytes());
        SessionRef(*tag.as_ref().first_chunk().expect("an HMAC-SHA256 has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{
        prelude::*,
        test_runner::{Config, TestRunner},
    };
    use std::cell::Cell;

    const ID: &str = "2cf2a1a5-1a2b-4c3d-8e4f-0123456789ab";

    #[test]
    fn an_id_that_aws_would_reject_does_not_parse() {
        assert!(SessionId::parse(ID).is_some());
        for bad in [
            "",
            "s",
            &ID.to_uppercase(),
            &ID.replace('-', ""),
            &format!("{ID} "),
            &format!("{{{}}}", &ID[1..35]),
            "2cf2a1a5-1a2b-4c3d-8e4f-0123456789ag",
            "2cf2a1a51-a2b-4c3d-8e4f-0123456789ab",
            "2cf2a1a5-1a2b-4c3d-8e4f-01234567-9ab",
            "2cf2a1a5-1a2b-4c3d-8e4f-0123456789é",
        ] {
            assert_eq!(SessionId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn neither_debug_output_nor_a_reference_contains_the_id() {
        let id = SessionId::parse(ID).expect("a valid id");
        let reference = SessionRefKey::random().reference(id).to_string();
        assert_eq!(format!("{id:?}"), "SessionId(redacted)");
        assert_eq!(reference.len(), 12);
        assert!(!ID.contains(&reference[..8]));
    }

    #[test]
    fn a_key_file_is_trimmed_and_a_short_key_is_rejected() {
        let file = |name: &str, content: &str| {
            let path = std::env::temp_dir().join(format!("face-liveness-{name}-{}", std::process::id()));
            std::fs::write(&path, content).expect("a writable temporary folder");
            let key = SessionRefKey::read(&path);
            std::fs::remove_file(path).ok();
            key
        };
        let id = SessionId::parse(ID).expect("a valid id");
        let [plain, with_newline] = [file("plain", "0123456789abcdef"), file("newline", "0123456789abcdef\n")]
            .map(|key| key.expect("16 bytes").reference(id).to_string());
        // HMAC-SHA256 of the id's 16 bytes, computed with openssl.
        assert_eq!(plain, "e4db8b3501c6");
        assert_eq!(plain, with_newline);
        let error = file("short", "0123456789abcde\n").err().expect("15 bytes");
        assert!(error.contains("holds 15 bytes and needs 16"), "{error}");
        assert!(SessionRefKey::read("/nowhere".as_ref()).err().expect("no file").contains("/nowhere cannot be read"));
    }

    #[test]
    fn a_random_id_is_a_uuid_of_version_4() {
        let id = SessionId::random().to_wire();
        assert!(SessionId::parse(&id).is_some());
        assert_eq!((&id[14..15], "89ab".contains(&id[19..20])), ("4", true), "{id}");
    }

    #[test]
    fn a_reference_is_stable_under_its_key_and_differs_under_another() {
        let (key, other) = (SessionRefKey::random(), SessionRefKey::random());
        let id = SessionId::parse(ID).expect("a valid id");
        assert!(key.reference(id) == key.reference(id));
        assert!(key.reference(id) != other.reference(id));
    }

    /// Generates ids, and texts that differ from an id by one edit.
    fn near_ids() -> impl Strategy<Value = String> {
        let id = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
        (id, 0..5, 0..LENGTH, "[0-9a-fA-Fg:`/ é-]").prop_map(|(id, edit, index, character)| {
            let [before, after] = [&id[..index], &id[index + 1..]];
            match edit {
                0 => id,
                1 => format!("{before}{character}{after}"),
                2 => format!("{before}{after}"),
                3 => format!("{before}{character}{}", &id[index..]),
                _ => format!(
                    "{before}{}{}{}",
                    &after[..after.len().min(1)],
                    &id[index..=index],
                    after.get(1..).unwrap_or_default()
                ),
            }
        })
    }

    /// Matches AWS's pattern, group by group.
    fn matches_awss_pattern(text: &str) -> bool {
        let groups: Vec<_> = text.split('-').collect();
        let lengths: Vec<_> = groups.iter().map(|group| group.len()).collect();
        lengths == [8, 4, 4, 4, 12] && groups.concat().chars().all(|digit| "0123456789abcdef".contains(digit))
    }

    #[test]
    fn an_id_parses_only_if_it_matches_awss_pattern() {
        let [parsed, rejected] = [Cell::new(0), Cell::new(0)];
        let config = Config { cases: 2_000, failure_persistence: None, ..Config::default() };
        let checked = TestRunner::new(config).run(&near_ids(), |text| {
            let is_id = matches_awss_pattern(&text);
            prop_assert_eq!(SessionId::parse(&text).map(SessionId::to_wire), is_id.then(|| text.clone()));
            let count = if is_id { &parsed } else { &rejected };
            count.set(count.get() + 1);
            Ok(())
        });
        checked.unwrap();
        assert!(parsed.get() > 100 && rejected.get() > 100, "{parsed:?} parsed, {rejected:?} rejected");
    }

    proptest! {
        #[test]
        fn a_parsed_id_formats_as_the_same_text(text in "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}") {
            prop_assert_eq!(SessionId::parse(&text).expect("of AWS's pattern").to_wire(), text);
        }
    }
}
