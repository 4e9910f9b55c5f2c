//! The position where reading goes on after a restart: a small file in the queue's directory.

use super::tracker::Mark;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::Write as _;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes at the beginning of a file that distinguish it from another with the same inode.
const BEGINNING: usize = 256;

/// What is saved of a followed file, one for each path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// The path, as on the command line.
    path: PathBuf,
    inode: u64,
    /// The first bytes of the file, in hexadecimal digits.
    beginning: String,
    /// Unique for each file that is read from its beginning. With an offset, it identifies a line.
    pub(super) reading: String,
    offset: u64,
    line: u64,
}

impl Checkpoint {
    /// A checkpoint at the beginning of a file that was not read before.
    pub(super) fn start(path: &Path, file: &File) -> Result<Checkpoint> {
        let metadata = metadata(path, file)?;
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Ok(Checkpoint {
            path: path.to_owned(),
            inode: metadata.ino(),
            beginning: String::new(),
            reading: format!("{:x}-{:x}", now.as_nanos(), std::process::id()),
            offset: 0,
            line: 0,
        })
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            offset: self.offset,
            line: self.line,
        }
    }

    /// Moves to `mark` in `file`.
    pub(super) fn advance(&mut self, file: &File, mark: Mark) -> Result<()> {
        let known = usize::try_from(mark.offset).map_or(BEGINNING, |offset| offset.min(BEGINNING));
        if self.beginning.len() < 2 * known {
            self.beginning = beginning(file, known).context("cannot read its beginning")?;
        }
        (self.offset, self.line) = (mark.offset, mark.line);
        Ok(())
    }

    /// Whether this is a checkpoint of `file`.
    pub(super) fn is_in(&self, file: &File, metadata: &Metadata) -> bool {
        metadata.ino() == self.inode
            && metadata.len() >= self.offset
            && beginning(file, self.beginning.len() / 2)
                .is_ok_and(|beginning| beginning == self.beginning)
    }

    /// Finds the file of this checkpoint in its folder if it was renamed.
    pub(super) fn find_renamed(&self) -> Option<File> {
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let entries = std::fs::read_dir(folder).ok()?;
        entries.flatten().find_map(|entry| {
            let metadata = entry.metadata().ok()?;
            if !metadata.is_file() || metadata.ino() != self.inode {
                return None;
            }
            let file = File::open(entry.path()).ok()?;
            self.is_in(&file, &metadata).then_some(file)
        })
    }

    /// Reads the checkpoint of `path` in the queue's directory, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub(super) fn load(directory: &Path, path: &Path) -> Result<Option<Checkpoint>> {
        let name = directory.join(file_name(path));
        let text = match std::fs::read(&name) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", name.display()));
            }
        };
        let checkpoint = serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is damaged; without it {} is read from its beginning",
                name.display(),
                path.display()
            )
        })?;
        Ok(Some(checkpoint))
    }

    /// Writes it atomically: after a crash the file holds the old checkpoint or the new one.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn save(&self, directory: &Path) -> Result<()> {
        let name = directory.join(file_name(&self.path));
        let failed = || format!("cannot write {}", name.display());
        std::fs::create_dir_all(directory).with_context(failed)?;
        let new = name.with_extension("new");
        let text = serde_json::to_vec(self).with_context(failed)?;
        let mut file = File::create(&new).with_context(failed)?;
        file.write_all(&text).with_context(failed)?;
        file.sync_data().with_context(failed)?;
        std::fs::rename(&new, &name).with_context(failed)
    }
}

/// A file name for each path: the end of the path, without unsafe characters, and a hash.
fn file_name(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut name = "follow-".to_owned();
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in path.as_os_str().as_encoded_bytes() {
        // FNV-1a of the whole path, since the part shown may be the same for several.
        sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let shown = path.file_name().unwrap_or_default().to_string_lossy();
    name.extend(
        shown
            .chars()
            .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_'))
            .take(64),
    );
    name.push_str(&format!("-{sum:016x}.json"));
    name
}

fn metadata(path: &Path, file: &File) -> Result<Metadata> {
    file.metadata()
        .with_context(|| format!("cannot read {}", path.display()))
}

fn beginning(file: &File, length: usize) -> std::io::Result<String> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    let mut text = String::with_capacity(2 * length);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_reads_back_and_knows_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/events.ndjson");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "0123456789").unwrap();
        let file = File::open(&path).unwrap();
        let mut checkpoint = Checkpoint::start(&path, &file).unwrap();
        let mark = Mark { offset: 6, line: 2 };
        checkpoint.advance(&file, mark).unwrap();
        assert_eq!(Checkpoint::load(folder.path(), &path).unwrap(), None);
        checkpoint.save(folder.path()).unwrap();
        let loaded = Checkpoint::load(folder.path(), &path).unwrap().unwrap();
        assert_eq!((&loaded, loaded.mark()), (&checkpoint, mark));
        let is_in = || loaded.is_in(&file, &file.metadata().unwrap());
        assert!(is_in());
        std::fs::rename(&path, path.with_extension("1")).unwrap();
        assert!(loaded.find_renamed().is_some());
        // Truncated, and written again with something else.
        std::fs::write(path.with_extension("1"), "0123").unwrap();
        assert!(!is_in());
        std::fs::write(path.with_extension("1"), "x123456789").unwrap();
        assert!(!is_in());
        assert!(loaded.find_renamed().is_none());
    }

    #[test]
    fn each_path_has_a_name_of_its_own() {
        let long = "x".repeat(300);
        let names: std::collections::BTreeSet<_> = ["a", "/a", "b/a", "/ä", "/ö", &long]
            .map(|path| file_name(Path::new(path)))
            .into();
        assert_eq!(names.len(), 6);
        assert!(
            names
                .iter()
                .all(|name| name.len() < 128 && !name.contains('/'))
        );
    }
}
