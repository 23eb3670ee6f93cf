//! Configurations that would start a server which cannot work, or which works in another way than
//! its operator believes: the program rejects them or warns.

mod blank;
mod credentials;
mod names;
mod profile;
mod validate;

use std::{fs, path::PathBuf};

/// A folder with files of a test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder of this test");
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("the path is text").to_owned()
    }

    /// Writes a file, and returns its path. A reader sees the old content or the new one.
    fn write(&self, name: &str, content: &str) -> String {
        let (new, path) = (self.path("new"), self.path(name));
        fs::write(&new, content).expect("a file of this test");
        fs::rename(&new, &path).expect("the same folder");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
