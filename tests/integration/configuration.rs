//! Configurations that cannot work, or that do not mean what the operator expects. The program
//! rejects them or logs a warning.

mod blank;
mod credentials;
#[cfg(target_os = "linux")]
mod listen;
mod logged;
mod names;
#[cfg(target_os = "linux")]
mod open_files;
mod profile;
mod units;
mod validate;

use std::{fs, path::PathBuf};

/// A folder for the files of a test. It is removed when this is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the folder is writable");
        Self(folder)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("the path is text").to_owned()
    }

    /// Replaces a file atomically, and returns its path.
    pub fn write(&self, name: &str, content: &str) -> String {
        let (new, path) = (self.path("new"), self.path(name));
        fs::write(&new, content).expect("the folder is writable");
        fs::rename(&new, &path).expect("both are in one folder");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
