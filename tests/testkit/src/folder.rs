//! A temporary folder with the files of a test.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A temporary folder, removed when dropped.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    /// Makes one.
    #[expect(clippy::new_without_default, reason = "it makes a folder on disk")]
    pub fn new() -> Folder {
        Folder(TempDir::new().expect("a temporary folder can be made"))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file into it and returns the file's path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("the folder takes files");
        path
    }

    /// Writes `webhook.json` and returns its path.
    pub fn config(&self, config: &Value) -> PathBuf {
        self.write("webhook.json", format!("{config:#}\n"))
    }
}

/// A config of one target that is tried once and patiently.
pub fn best_effort(url: &str) -> Value {
    json!({
        "headers": { "Content-Type": "application/json" },
        "targetURL": url,
        "timeoutMsec": 30_000,
        "responseTimeoutMsec": 30_000,
        "delivery": "best-effort",
    })
}
