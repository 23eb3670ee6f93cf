//! What is wrong with a store, told apart by what helps.

use redis::{RedisError, ServerErrorKind};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No answer in time.
    TimedOut,
    /// No connection, or one that broke.
    Lost(String),
    /// It takes no writes: it is full, or a replica.
    ReadOnly(String),
    /// It refuses.
    Refused(String),
    /// It cannot be asked as this program is told to.
    Settings(String),
}

impl Trouble {
    pub const LABELS: [&str; 4] = ["timeout", "lost", "read_only", "refused"];

    /// Keeps the store's code and the kind of the error, and not its words: they may quote keys and
    /// values.
    pub fn of(error: &RedisError) -> Self {
        // Errors inside of a script are told with the command's own code somewhere in the text, by
        // Redis before 7.
        let says = |word: &str| error.detail().is_some_and(|detail| detail.contains(word));
        let code: String = error.code().unwrap_or_default().chars().filter(char::is_ascii_uppercase).take(32).collect();
        let full = code == "OOM" || says("OOM ");
        let read_only = error.kind() == redis::ErrorKind::Server(ServerErrorKind::ReadOnly) || says("READONLY ");
        match code.as_str() {
            _ if full => Self::ReadOnly("it is full (OOM)".to_owned()),
            _ if read_only => Self::ReadOnly("it is a replica (READONLY)".to_owned()),
            "MISCONF" | "NOREPLICAS" => Self::ReadOnly(format!("it answers {code}")),
            "" if error.kind() == redis::ErrorKind::AuthenticationFailed => Self::Refused(AUTHENTICATION.to_owned()),
            "WRONGPASS" | "NOAUTH" => Self::Refused(format!("{AUTHENTICATION} ({code})")),
            "NOPERM" => Self::Refused("its ACL forbids the user a command or a key (NOPERM)".to_owned()),
            "" if error.is_connection_refusal() => Self::Lost("it refuses the connection".to_owned()),
            "" if error.is_timeout() => Self::TimedOut,
            "" => Self::Lost(format!("the connection failed ({})", error.category())),
            _ => Self::Refused(format!("it answers {code}")),
        }
    }

    /// As the label `outcome` names it.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::TimedOut => Self::LABELS[0],
            Self::Lost(_) => Self::LABELS[1],
            Self::ReadOnly(_) => Self::LABELS[2],
            Self::Refused(_) | Self::Settings(_) => Self::LABELS[3],
        }
    }
}

const AUTHENTICATION: &str = "it does not take the user and password";

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("it does not answer in time"),
            Self::Lost(what) | Self::ReadOnly(what) | Self::Refused(what) | Self::Settings(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::{ErrorKind, Value};

    /// What a store's answer comes to: the words after the minus sign, as they come over the wire.
    fn answered(words: &str) -> Trouble {
        let answer = redis::parse_redis_value(format!("-{words}\r\n").as_bytes()).and_then(Value::extract_error);
        Trouble::of(&answer.expect_err("an error"))
    }

    #[test]
    fn a_store_that_takes_no_writes_is_told_from_one_that_refuses_or_is_lost() {
        for (words, label) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", "read_only"),
            ("READONLY You can't write against a read only replica.", "read_only"),
            ("MISCONF Redis is configured to save RDB snapshots", "read_only"),
            ("NOREPLICAS Not enough good replicas to write.", "read_only"),
            ("ERR Error running script: @user_script: -OOM command not allowed", "read_only"),
            ("ERR Error running script: @user_script: -READONLY You can't write", "read_only"),
            ("NOPERM User facade has no permissions to run the 'get' command", "refused"),
            ("WRONGPASS invalid username-password pair", "refused"),
            ("NOAUTH Authentication required.", "refused"),
            ("LOADING Redis is loading the dataset in memory", "refused"),
            ("ERR unknown command", "refused"),
        ] {
            assert_eq!(answered(words).label(), label, "{words}");
        }
        let io = |kind| Trouble::of(&RedisError::from(std::io::Error::from(kind)));
        assert_eq!(io(std::io::ErrorKind::ConnectionRefused).label(), "lost");
        assert_eq!(io(std::io::ErrorKind::BrokenPipe).label(), "lost");
        assert_eq!(io(std::io::ErrorKind::TimedOut), Trouble::TimedOut);
    }

    #[test]
    fn no_word_of_the_store_but_its_code_is_told() {
        for words in ["ERR hunter2", "WRONGPASS hunter2", "NOPERM hunter2", "OOM hunter2", "hunter2 x", "X hunter2"] {
            assert!(!format!("{0} {0:?}", answered(words)).contains("hunter2"), "{words}");
        }
        let of_type = RedisError::from((ErrorKind::UnexpectedReturnType, "not convertible", "hunter2".to_owned()));
        assert!(!format!("{0} {0:?}", Trouble::of(&of_type)).contains("hunter2"));
    }
}
