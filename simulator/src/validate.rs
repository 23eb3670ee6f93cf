//! The constraints of the service model, and the sentence AWS makes of what breaks them.
//!
//! Patterns are checked by hand and shown as the model writes them. What a member is for is not
//! known here.

use crate::wire::ApiError;

/// Violations told one by one; the rest are only counted, for a request can hold thousands.
const MOST_TOLD: usize = 10;

/// What a string member must be. Lengths in characters.
pub(crate) struct Text {
    pub least: usize,
    pub most: usize,
    pub pattern: &'static str,
    pub fits: fn(&str) -> bool,
}

pub(crate) const SESSION_ID: Text = Text {
    least: 36,
    most: 36,
    pattern: "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    fits: is_session_id,
};

pub(crate) const KMS_KEY_ID: Text = Text {
    least: 1,
    most: 2048,
    pattern: "^[A-Za-z0-9][A-Za-z0-9:_/+=,@.-]{0,2048}$",
    fits: |value| value.starts_with(|c: char| c.is_ascii_alphanumeric()) && all(value, ":_/+=,@.-"),
};

pub(crate) const CLIENT_REQUEST_TOKEN: Text =
    Text { least: 1, most: 64, pattern: "^[a-zA-Z0-9-_]+$", fits: |value| !value.is_empty() && all(value, "-_") };

pub(crate) const S3_BUCKET: Text =
    Text { least: 3, most: 255, pattern: r"[0-9A-Za-z\.\-_]*", fits: |value| all(value, ".-_") };

pub(crate) const S3_KEY_PREFIX: Text =
    Text { least: 0, most: 950, pattern: r"\S*", fits: |value| !value.contains(is_java_space) };

pub(crate) const VERSION: Text = Text {
    least: 5,
    most: 11,
    pattern: r"^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$",
    fits: |value| version(value).is_some(),
};

/// The three numbers of a version, which compare as versions do.
pub(crate) fn version(value: &str) -> Option<[u16; 3]> {
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

/// The model's patterns are Java's, whose `\S` knows these six only.
fn is_java_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

/// What is wrong with a request, gathered so that all of it is told at once.
#[derive(Default)]
pub(crate) struct Violations {
    count: usize,
    told: Vec<String>,
}

impl Violations {
    /// A member that must be there: `path` from the request down, as AWS writes it, such as
    /// `settings.outputConfig`.
    pub fn check_required(&mut self, path: &str, value: Option<&str>, rule: &Text) {
        match value {
            Some(value) => self.check(path, Some(value), rule),
            None => self.add(format!("Value null at '{path}' failed to satisfy constraint: Member must not be null")),
        }
    }

    pub fn check(&mut self, path: &str, value: Option<&str>, rule: &Text) {
        let Some(value) = value else { return };
        let length = value.chars().count();
        let Text { least, most, pattern, fits } = rule;
        if !fits(value) {
            self.break_rule(path, value, &format!("satisfy regular expression pattern: {pattern}"));
        }
        if length < *least {
            self.break_rule(path, value, &format!("have length greater than or equal to {least}"));
        }
        if length > *most {
            self.break_rule(path, value, &format!("have length less than or equal to {most}"));
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
        Err(ApiError::validation(format!("{} validation {errors} detected: {}", self.count, self.told.join("; "))))
    }

    fn break_rule(&mut self, path: &str, value: &str, rule: &str) {
        self.add(format!("Value '{value}' at '{path}' failed to satisfy constraint: Member must {rule}"));
    }

    fn add(&mut self, violation: String) {
        self.count += 1;
        if self.told.len() < MOST_TOLD {
            self.told.push(violation);
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
    fn violations_read_as_aws_writes_them() {
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
    fn each_rule_has_its_edges() {
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
