//! How a command fails.

/// Why a command failed.
pub enum Failure {
    /// The configuration is invalid. One sentence for each problem.
    Configuration(Vec<String>),
    /// The command could not start, or failed later.
    Other(String),
}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self::Other(sentence)
    }
}
