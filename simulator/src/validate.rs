//! The constraints of the service model, and AWS's messages for violations.
//!
//! Patterns are checked by functions, and shown as the model writes them.

use crate::wire::ApiError;

/// Violations listed in the message. The others are only counted, because a request can have
/// thousands.
const MAX_LISTED: usize = 10;

/// The constraints of a string member. Lengths are in characters.
pub(crate) struct Text {
    pub min: usize,
    pub max: usize,
    pub pattern: &'static str,
    pub matches: fn(&str) -> bool,
}

pub(crate) const SESSION_ID: Text = Text {
    min: 36,
    max: 36,
    pattern: "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    matches: is_session_id,
};

pub(crate) const KMS_KEY_ID: Text = Text {
    min: 1,
    max: 2048,
    pattern: "^[A-Za-z0-9][A-Za-z0-9:_/+=,@.-]{0,2048}$",
    matches: |value| value.starts_with(|c: char| c.is_ascii_alphanumeric()) && all(value, ":_/+=,@.-"),
};

pub(crate) const CLIENT_REQUEST_TOKEN: Text =
    Text { min: 1, max: 64, pattern: "^[a-zA-Z0-9-_]+$", matches: |value| !value.is_empty() && all(value, "-_") };

pub(crate) const S3_BUCKET: Text =
    Text { min: 3, max: 255, pattern: r"[0-9A-Za-z\.\-_]*", matches: |value| all(value, ".-_") };

pub(crate) const S3_KEY_PREFIX: Text =
    Text { min: 0, max: 950, pattern: r"\S*", matches: |value| !value.contains(is_java_space) };

pub(crate) const VERSION: Text = Text {
    min: 5,
    max: 11,
    pattern: r"^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$",
    matches: |value| parse_version(value).is_some(),
};

/// Parses the three numbers of a version. They compare as versions do.
pub(crate) fn parse_version(value: &str) -> Option<[u16; 3]> {
    let number = |part: &str| {
        let plain = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
        if plain && (part == "0" || !part.starts_with('0')) { part.parse().ok() } else { None }
    };
    let mut parts = value.split('.');
    let version = [number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?];
    parts.next().is_none().then_some(version)
}

pub(crate) fn is_session_id(value: &str) -> bool {
    let dash = |at| matches!(at, 8 | 13 | 18 | 23);
    value.len() == 36
        && value
            .bytes()
            .enumerate()
            .all(|(at, byte)| if dash(at) { byte == b'-' } else { matches!(byte, b'0'..=b'9' | b'a'..=b'f') })
}

fn all(value: &str, marks: &str) -> bool {
    value.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
}

/// Returns whether `\s` of Java's patterns, which the model uses, matches.
fn is_java_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

/// All violations of a request.
#[derive(Default)]
pub(crate) struct Violations {
    count: usize,
    listed: Vec<String>,
}

impl Violations {
    /// Checks a required member. `path` names it as AWS does, such as `settings.outputConfig`.
    pub fn check_required(&mut self, path: &str, value: Option<&str>, rule: &Text) {
        match value {
            Some(value) => self.check(path, Some(value), rule),
            None => self.add(format!("Value null at '{path}' failed to satisfy constraint: Member must not be null")),
        }
    }

    pub fn check(&mut self, path: &str, value: Option<&str>, rule: &Text) {
        let Some(value) = value else { return };
        let length = value.chars().count();
        let Text { min, max, pattern, matches } = rule;
        if !matches(value) {
            self.break_rule(path, value, &format!("satisfy regular expression pattern: {pattern}"));
        }
        if length < *min {
            self.break_rule(path, value, &format!("have length greater than or equal to {min}"));
        }
        if length > *max {
            self.break_rule(path, value, &format!("have length less than or equal to {max}"));
        }
    }

    pub fn check_enum(&mut self, path: &str, value: Option<&str>, names: &[&str]) {
        match value {
            Some(value) if names.contains(&value) => {}
            Some(value) => {
                self.break_rule(path, value, &format!("satisfy enum value set: [{}]", names.join(", ")));
            }
            None => self.add(format!("Value null at '{path}' failed to satisfy constraint: Member must not be null")),
        }
    }

    pub fn into_result(self) -> Result<(), ApiError> {
        if self.count == 0 {
            return Ok(());
        }
        let errors = if self.count == 1 { "error" } else { "errors" };
        Err(ApiError::validation(format!("{} validation {errors} detected: {}", self.count, self.listed.join("; "))))
    }

    fn break_rule(&mut self, path: &str, value: &str, rule: &str) {
        self.add(format!("Value '{value}' at '{path}' failed to satisfy constraint: Member must {rule}"));
    }

    fn add(&mut self, violation: String) {
        self.count += 1;
        if self.listed.len() < MAX_LISTED {
            self.listed.push(violation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(value: Option<&str>, rule: &Text) -> Option<String> {
        let mut violations = Violations::default();
        violations.check_required("a.b", value, rule);
        violations.into_result().err().and_then(|error| error.message)
    }

    #[test]
    fn messages_are_those_of_aws() {
        let null = "1 validation error detected: Value null at 'a.b' failed to satisfy constraint: \
                    Member must not be null";
        assert_eq!(message(None, &S3_BUCKET).unwrap(), null);
        let both = "2 validation errors detected: Value '!' at 'a.b' failed to satisfy constraint: \
                    Member must satisfy regular expression pattern: [0-9A-Za-z\\.\\-_]*; \
                    Value '!' at 'a.b' failed to satisfy constraint: \
                    Member must have length greater than or equal to 3";
        assert_eq!(message(Some("!"), &S3_BUCKET).unwrap(), both);
    }

    #[test]
    fn each_rule_accepts_and_rejects_its_limits() {
        let long = |length| "a".repeat(length);
        for (rule, good, bad) in [
            (
                &SESSION_ID,
                vec!["0123abcd-0000-4000-8000-0123456789ab".to_owned()],
                vec!["0123ABCD-0000-4000-8000-0123456789ab".to_owned(), "0123abcd".into(), "0".repeat(36)],
            ),
            (&KMS_KEY_ID, vec!["arn:aws:kms:x/1".into(), long(2048)], vec![String::new(), "-a".into(), long(2049)]),
            (&CLIENT_REQUEST_TOKEN, vec!["a-_9".into(), long(64)], vec![String::new(), "a b".into(), long(65)]),
            (&S3_BUCKET, vec!["a.b".into(), long(255)], vec!["ab".into(), "a/b".into(), long(256)]),
            (&S3_KEY_PREFIX, vec![String::new(), "é/".into(), long(950)], vec!["a b".into(), long(951)]),
            (&VERSION, vec!["0.0.0".into(), "999.10.1".into()], vec!["1.0".into(), "01.0.0".into(), "1.0.0.0".into()]),
        ] {
            for value in good {
                assert_eq!(message(Some(&value), rule), None);
            }
            for value in bad {
                assert!(message(Some(&value), rule).is_some(), "{value} passed {}", rule.pattern);
            }
        }
    }
}
