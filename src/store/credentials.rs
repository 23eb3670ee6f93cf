//! The credentials of the store, which can change while the service runs.

use crate::config::Secret;
use std::{fs, path::PathBuf};

/// What a connection authenticates with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    pub username: Option<Secret>,
    pub password: Option<Secret>,
}

/// Where the credentials come from: a file wins over a value.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub credentials: Credentials,
    pub username_file: Option<PathBuf>,
    pub password_file: Option<PathBuf>,
}

impl Sources {
    /// Reads the current credentials.
    ///
    /// # Errors
    /// One sentence for the operator.
    pub fn read(&self) -> Result<Credentials, String> {
        let Self { credentials, username_file, password_file } = self;
        Ok(Credentials {
            username: read_one(username_file, &credentials.username, "--shared-cache-username-file")?,
            password: read_one(password_file, &credentials.password, "--shared-cache-password-file")?,
        })
    }
}

fn read_one(file: &Option<PathBuf>, value: &Option<Secret>, flag: &str) -> Result<Option<Secret>, String> {
    let Some(file) = file else { return Ok(value.clone()) };
    let text =
        fs::read_to_string(file).map_err(|error| format!("{flag}: {} cannot be read: {error}", file.display()))?;
    // Editors end a file with a line break, which is no part of the password.
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("{flag}: {} is empty", file.display())),
        text => Ok(text.parse().ok()),
    }
}
