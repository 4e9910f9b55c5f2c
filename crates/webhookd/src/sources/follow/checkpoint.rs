//! The position where reading goes on after a restart: a small file in the queue's directory.

use super::content::{Content, FileId};
use crate::sources::saved;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Bytes at the beginning of a file, and before the position, that are looked at all the time.
pub(super) const COMPARED: usize = 256;
/// Bytes at the beginning of a file that distinguish it from all others: more than the first event,
/// since several files may begin with events of one task.
pub(super) const FINGERPRINT: usize = 16 * 1024;

/// A position in a file, after a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Bytes before it.
    pub(super) offset: u64,
    /// Lines before it.
    pub(super) line: u64,
}

/// What is saved of a followed file, one for each path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// The path, as on the command line.
    path: PathBuf,
    /// Where a link led to.
    #[serde(default)]
    file: Option<PathBuf>,
    inode: u64,
    /// The first bytes of the file, in hexadecimal digits.
    beginning: String,
    #[serde(default)]
    fingerprint: Fingerprint,
    /// The bytes before `offset`; empty if they are not known.
    #[serde(default)]
    before: String,
    /// When the file was written to, in epoch nanoseconds. Newer rotated files were written later.
    #[serde(default)]
    modified: u64,
    /// Unique for each file that is read from its beginning. With an offset, it identifies a line.
    pub(super) reading: String,
    offset: u64,
    line: u64,
}

/// What a file begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    /// Bytes: all that the file had, up to a bound.
    length: usize,
    sha256: String,
}

impl Fingerprint {
    fn of(bytes: &[u8]) -> Fingerprint {
        Fingerprint {
            length: bytes.len(),
            sha256: hex(&hmac_sha256::Hash::hash(bytes)),
        }
    }
}

impl Checkpoint {
    /// A checkpoint at the beginning of a file that was not read before.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn start(path: &Path, content: &mut Content) -> Result<Checkpoint> {
        let now = since_epoch(SystemTime::now());
        let mut checkpoint = Checkpoint {
            path: path.to_owned(),
            file: std::fs::canonicalize(path).ok(),
            inode: 0,
            beginning: String::new(),
            fingerprint: Fingerprint::default(),
            before: String::new(),
            modified: 0,
            reading: format!("{now:x}-{:x}", std::process::id()),
            offset: 0,
            line: 0,
        };
        checkpoint.take_from(content)?;
        checkpoint.take_beginning(content)?;
        Ok(checkpoint)
    }

    fn take_beginning(&mut self, content: &mut Content) -> Result<()> {
        let bytes = content.bytes(0, FINGERPRINT).context("cannot read on")?;
        self.beginning = hex(&bytes[..bytes.len().min(COMPARED)]);
        self.fingerprint = Fingerprint::of(&bytes);
        Ok(())
    }

    /// Takes the file's identity, which changes when a copy is read on.
    pub(super) fn take_from(&mut self, content: &Content) -> Result<()> {
        let metadata = content.metadata().context("cannot look at it")?;
        self.inode = metadata.ino();
        self.modified = metadata.modified().map_or(0, since_epoch);
        Ok(())
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            offset: self.offset,
            line: self.line,
        }
    }

    /// The file that a link led to.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// When the file was last seen to be written to.
    pub(super) fn modified(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.modified)
    }

    /// Whether a file of this length has a longer beginning than is known.
    pub(super) fn lacks_beginning(&self, length: u64) -> bool {
        let known = self.fingerprint.length;
        known < FINGERPRINT && length > known as u64
    }

    /// Moves to `mark`. `intact` tells whether `content` still holds what was read of it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn advance(
        &mut self,
        content: &mut Content,
        mark: Mark,
        intact: bool,
    ) -> Result<()> {
        (self.offset, self.line) = (mark.offset, mark.line);
        self.before.clear();
        // A compressed file does not change, and reading backwards in it is expensive.
        if !intact || content.is_compressed() {
            return Ok(());
        }
        self.take_from(content)?;
        self.before = hex(&before(content, mark.offset).context("cannot read on")?);
        if self.fingerprint.length < FINGERPRINT {
            self.take_beginning(content)?;
        }
        Ok(())
    }

    /// Whether it is a checkpoint of the file with this identity, if it holds the same content.
    /// Devices have other numbers after a restart of the system.
    pub(super) fn has_id(&self, (_, inode): FileId) -> bool {
        self.inode == inode
    }

    /// Whether enough of the file is known to recognise a copy.
    pub(super) fn knows_content(&self) -> bool {
        !self.beginning.is_empty()
    }

    /// Whether `content` holds what was read up to this checkpoint.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn is_in(&self, content: &mut Content) -> std::io::Result<bool> {
        let beginning = content.bytes(0, self.beginning.len() / 2)?;
        if hex(&beginning) != self.beginning {
            return Ok(false);
        }
        let known = &self.fingerprint;
        if known.length > 0 && Fingerprint::of(&content.bytes(0, known.length)?) != *known {
            return Ok(false);
        }
        if !content.is_compressed() && content.metadata()?.len() < self.offset {
            return Ok(false);
        }
        Ok(self.before.is_empty() || hex(&before(content, self.offset)?) == self.before)
    }

    /// Reads the checkpoint of `path` in the queue's directory, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub(super) fn load(directory: &Path, path: &Path) -> Result<Option<Checkpoint>> {
        saved::load(directory, &file_name(path), &path.display().to_string())
    }

    /// Writes it atomically: after a crash the file holds the old checkpoint or the new one.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn save(&self, directory: &Path) -> Result<()> {
        saved::save(directory, &file_name(&self.path), self)
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

/// The bytes before a position.
///
/// # Errors
/// They cannot be read.
pub(super) fn before(content: &mut Content, offset: u64) -> std::io::Result<Vec<u8>> {
    let from = offset.saturating_sub(COMPARED as u64);
    content.bytes(from, usize::try_from(offset - from).unwrap_or(COMPARED))
}

fn since_epoch(time: SystemTime) -> u64 {
    let time = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(time.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_checkpoint_reads_back_and_knows_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.ndjson");
        std::fs::write(&path, "0123456789").unwrap();
        let mut content = Content::plain(File::open(&path).unwrap());
        let mut checkpoint = Checkpoint::start(&path, &mut content).unwrap();
        let mark = Mark { offset: 6, line: 2 };
        checkpoint.advance(&mut content, mark, true).unwrap();
        assert_eq!(Checkpoint::load(folder.path(), &path).unwrap(), None);
        checkpoint.save(folder.path()).unwrap();
        let loaded = Checkpoint::load(folder.path(), &path).unwrap().unwrap();
        assert_eq!((&loaded, loaded.mark()), (&checkpoint, mark));
        assert!(loaded.has_id(content.id().unwrap()));
        for (text, holds) in [
            ("0123456789", true),
            ("0123456789 and more", true),
            ("0123", false),
            ("x123456789", false),
            ("01234x6789", false),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(loaded.is_in(&mut content).unwrap(), holds, "{text}");
        }
    }

    #[test]
    fn files_whose_first_bytes_are_the_same_are_distinguished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.ndjson");
        let text = |first: &str, last: &str| {
            "same beginning ".repeat(40) + first + &" and on".repeat(5_000) + last
        };
        std::fs::write(&path, text("one", "two")).unwrap();
        let mut content = Content::plain(File::open(&path).unwrap());
        let mut checkpoint = Checkpoint::start(&path, &mut content).unwrap();
        let offset = text("one", "two").len() as u64;
        for (first, last, holds) in [("one", "two", true), ("two", "two", false)] {
            std::fs::write(&path, text(first, last)).unwrap();
            assert_eq!(checkpoint.is_in(&mut content).unwrap(), holds, "{first}");
        }
        std::fs::write(&path, text("one", "two")).unwrap();
        let mark = Mark { offset, line: 1 };
        checkpoint.advance(&mut content, mark, true).unwrap();
        for (last, holds) in [("two", true), ("one", false)] {
            std::fs::write(&path, text("one", last)).unwrap();
            assert_eq!(checkpoint.is_in(&mut content).unwrap(), holds, "{last}");
        }
    }

    #[test]
    fn a_checkpoint_of_an_earlier_version_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.ndjson");
        std::fs::write(&path, "0123456789").unwrap();
        let mut content = Content::plain(File::open(&path).unwrap());
        let (_, inode) = content.id().unwrap();
        let text = format!(
            r#"{{"path":"p","inode":{inode},"beginning":"303132","reading":"r","offset":3,"line":1}}"#
        );
        std::fs::write(folder.path().join(file_name(&path)), text).unwrap();
        let loaded = Checkpoint::load(folder.path(), &path).unwrap().unwrap();
        assert!(loaded.has_id(content.id().unwrap()) && loaded.is_in(&mut content).unwrap());
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
