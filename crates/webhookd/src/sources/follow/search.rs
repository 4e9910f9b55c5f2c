//! Finds the file of a checkpoint among the rotated ones, and the file to read next.

use super::checkpoint::Checkpoint;
use super::content::{self, Content};
use super::rotated::Candidate;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// The file to read after a rotated one.
pub(super) struct Next {
    pub(super) path: PathBuf,
    pub(super) content: Content,
    /// What could not be read before it.
    pub(super) gaps: Vec<String>,
}

/// Finds the file of a checkpoint, open: by its inode and content, or a copy by its content alone.
/// A copy is a rotated file, not the file itself.
///
/// # Errors
/// A file with its inode cannot be opened now, and may be later.
pub(super) fn find(list: &[Candidate], known: &Checkpoint) -> Result<Option<(usize, Content)>> {
    for (place, it) in list.iter().enumerate() {
        if known.has_id(it.id) {
            let opened = match it.open() {
                // Another file, which has the inode of one that was deleted.
                Err(error) if it.is_compressed && content::is_damage(&error) => None,
                opened => opened.with_context(|| it.path.display().to_string())?,
            };
            if let Some(mut content) = opened
                && known.is_in(&mut content).unwrap_or(false)
            {
                return Ok(Some((place, content)));
            }
        }
    }
    let copies = list.iter().enumerate().rev();
    let mut copies = copies.filter(|(_, it)| known.knows_content() && !it.is_live);
    Ok(copies.find_map(|(place, it)| {
        let mut content = it.open().ok()??;
        known
            .is_in(&mut content)
            .is_ok_and(|holds| holds)
            .then_some((place, content))
    }))
}

/// Whether a file was written to later than the one of a checkpoint. The file itself is the newest.
pub(super) fn is_newer(it: &Candidate, known: &Checkpoint) -> bool {
    it.is_live || it.modified > known.modified()
}

/// Opens the oldest file that is not empty, or else the newest. `None` if there is none, or if it was
/// renamed meanwhile.
///
/// # Errors
/// A file cannot be opened now, and may be later.
pub(super) fn open_first(list: Vec<Candidate>) -> Result<Option<Next>> {
    let mut gaps = Vec::new();
    let last = list.len().saturating_sub(1);
    for (number, it) in list.into_iter().enumerate() {
        if it.is_empty && number < last {
            continue;
        }
        match it.open() {
            Ok(content) => {
                return Ok(content.map(|content| Next {
                    path: it.path,
                    content,
                    gaps,
                }));
            }
            Err(error) if it.is_compressed && content::is_damage(&error) => {
                gaps.push(format!("{} cannot be read: {error}", it.path.display()));
            }
            Err(error) => return Err(error).with_context(|| it.path.display().to_string()),
        }
    }
    Ok(None)
}
