//! Where a source goes on after a restart: a small file in the queue's directory.

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Reads a file in the queue's directory, if there is one. It is about `what`, for people.
///
/// # Errors
/// It cannot be read, or is damaged.
pub(super) fn load<T: DeserializeOwned>(
    directory: &Path,
    name: &str,
    what: &str,
) -> Result<Option<T>> {
    let name = directory.join(name);
    let text = match std::fs::read(&name) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", name.display())),
    };
    let saved = serde_json::from_slice(&text).with_context(|| {
        let name = name.display();
        format!("{name} is damaged; without it {what} is read from its beginning")
    })?;
    Ok(Some(saved))
}

/// Writes a file atomically: after a crash it holds the old value or the new one.
///
/// # Errors
/// It cannot be written.
pub(super) fn save(directory: &Path, name: &str, value: &impl Serialize) -> Result<()> {
    let name = directory.join(name);
    let failed = || format!("cannot write {}", name.display());
    std::fs::create_dir_all(directory).with_context(failed)?;
    let new = name.with_extension("new");
    let text = serde_json::to_vec(value).with_context(failed)?;
    let mut file = File::create(&new).with_context(failed)?;
    file.write_all(&text).with_context(failed)?;
    file.sync_data().with_context(failed)?;
    std::fs::rename(&new, &name).with_context(failed)
}
