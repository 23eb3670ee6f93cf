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

    /// Keeps the store's code and the kind of the error, and not its words: they may quote keys and values.
    pub fn of(error: &RedisError) -> Self {
        // Errors inside of a script are told with the command's own code somewhere in the text, by Redis before 7.
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
