//! The failures of a store, by what an operator can do.

use redis::{RedisError, ServerErrorKind};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// No response in time.
    TimedOut,
    /// No connection, or a broken one.
    Lost(String),
    /// It rejects writes: it is full, or a replica.
    ReadOnly(String),
    /// It rejects the command or the credentials, or the settings are invalid.
    Rejected(String),
}

const AUTHENTICATION: &str = "it rejects the username or password";

impl StoreError {
    /// Returns the value of the label `outcome`.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::TimedOut => "timeout",
            Self::Lost(_) => "lost",
            Self::ReadOnly(_) => "read_only",
            Self::Rejected(_) => "refused",
        }
    }
}

/// Keeps the error code and the kind, but not the message, which can quote keys and values.
impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        // Before version 7, Redis reports an error inside a script with the command's code in the
        // message.
        let has_word = |word: &str| error.detail().is_some_and(|detail| detail.contains(word));
        let code: String = error.code().unwrap_or_default().chars().filter(char::is_ascii_uppercase).take(32).collect();
        let is_full = code == "OOM" || has_word("OOM ");
        let is_replica = error.kind() == redis::ErrorKind::Server(ServerErrorKind::ReadOnly) || has_word("READONLY ");
        match code.as_str() {
            _ if is_full => Self::ReadOnly("it is full (OOM)".to_owned()),
            _ if is_replica => Self::ReadOnly("it is a replica (READONLY)".to_owned()),
            "MISCONF" | "NOREPLICAS" => Self::ReadOnly(format!("it returns {code}")),
            "" if error.kind() == redis::ErrorKind::AuthenticationFailed => Self::Rejected(AUTHENTICATION.to_owned()),
            "WRONGPASS" | "NOAUTH" => Self::Rejected(format!("{AUTHENTICATION} ({code})")),
            "NOPERM" => Self::Rejected("its ACL forbids the user a command or a key (NOPERM)".to_owned()),
            "" if error.is_connection_refusal() => Self::Lost("connection refused".to_owned()),
            "" if error.is_timeout() => Self::TimedOut,
            "" => Self::Lost(format!("the connection failed ({})", error.category())),
            _ => Self::Rejected(format!("it returns {code}")),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("it does not respond in time"),
            Self::Lost(reason) | Self::ReadOnly(reason) | Self::Rejected(reason) => f.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::{ErrorKind, Value};

    /// Returns the error for this error message of a server.
    fn parsed(message: &str) -> StoreError {
        let response = redis::parse_redis_value(format!("-{message}\r\n").as_bytes()).and_then(Value::extract_error);
        StoreError::from(response.expect_err("an error"))
    }

    #[test]
    fn read_only_rejecting_and_lost_servers_have_different_labels() {
        for (message, label) in [
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
            assert_eq!(parsed(message).label(), label, "{message}");
        }
        let io = |kind| StoreError::from(RedisError::from(std::io::Error::from(kind)));
        assert_eq!(io(std::io::ErrorKind::ConnectionRefused).label(), "lost");
        assert_eq!(io(std::io::ErrorKind::BrokenPipe).label(), "lost");
        assert_eq!(io(std::io::ErrorKind::TimedOut), StoreError::TimedOut);
    }

    #[test]
    fn only_the_code_of_a_server_message_is_printed() {
        for message in ["ERR hunter2", "WRONGPASS hunter2", "NOPERM hunter2", "OOM hunter2", "hunter2 x", "X hunter2"] {
            assert!(!format!("{0} {0:?}", parsed(message)).contains("hunter2"), "{message}");
        }
        let type_error = RedisError::from((ErrorKind::UnexpectedReturnType, "not convertible", "hunter2".to_owned()));
        assert!(!format!("{0} {0:?}", StoreError::from(type_error)).contains("hunter2"));
    }
}
