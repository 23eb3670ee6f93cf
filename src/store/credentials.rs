//! The user and password of the store, which may change while the service runs.

use crate::config::Secret;
use std::{fs, path::PathBuf};

/// What a connection says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    pub username: Option<Secret>,
    pub password: Option<Secret>,
}

/// Where they stand: a file wins over a value.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub credentials: Credentials,
    pub username_file: Option<PathBuf>,
    pub password_file: Option<PathBuf>,
}

impl Sources {
    /// What is there now.
    ///
    /// # Errors
    /// One sentence for an operator.
    pub fn read(&self) -> Result<Credentials, String> {
        let Self { credentials, username_file, password_file } = self;
        Ok(Credentials {
            username: one(username_file, &credentials.username, "--shared-cache-username-file")?,
            password: one(password_file, &credentials.password, "--shared-cache-password-file")?,
        })
    }
}

fn one(file: &Option<PathBuf>, value: &Option<Secret>, flag: &str) -> Result<Option<Secret>, String> {
    let Some(file) = file else { return Ok(value.clone()) };
    let text =
        fs::read_to_string(file).map_err(|error| format!("{flag}: {} cannot be read: {error}", file.display()))?;
    // An editor ends a file with a line break, and no password does.
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("{flag}: {} is empty", file.display())),
        text => Ok(text.parse().ok()),
    }
}
