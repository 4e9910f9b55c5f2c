//! The rotated files of a followed file: which ones they are, and in which order.
//!
//! They are found by their names, which are those of logrotate and its like: `NAME.1`,
//! `NAME.2.gz`, `NAME-20261129`, `NAME.2026-11-29-17.gz`, and the same between the stem and the
//! extension. A link may lead to files whose names differ in their digits.

use super::content::{Content, FileId, id};
use std::fs::Metadata;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Rotated files that are considered: the newest ones.
const MOST: usize = 1_000;
/// How often a folder is read until two readings agree. A rotation renames one file after another.
const READINGS: usize = 10;
/// How long to wait between these.
const BETWEEN: Duration = Duration::from_millis(2);
/// What compressed files end with; only gzip is read.
const COMPRESSED: [&str; 7] = [".gz", ".xz", ".zst", ".bz2", ".lz4", ".Z", ".zip"];
/// Digits of the shortest date. A number with fewer counts the rotations.
const DATE: usize = 8;

/// A file, seen at one moment.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    pub(super) modified: SystemTime,
    pub(super) is_empty: bool,
    /// Whether it is the followed file itself.
    pub(super) is_live: bool,
    pub(super) is_compressed: bool,
}

/// The place of a rotated file among those of the same base, from the oldest to the newest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// Larger numbers are older, as a rule.
    Number(u128),
    /// Larger dates are newer.
    Date(Vec<u128>),
    /// It has the base's name, which counts: that of another base is newer or older.
    Base,
}

/// What a name says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    /// The digits of the base, which differ between the files that a link leads to.
    base: Vec<u128>,
    age: Age,
    is_compressed: bool,
}

impl Candidate {
    fn new(path: PathBuf, metadata: &Metadata) -> Candidate {
        Candidate {
            path,
            id: id(metadata),
            modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            is_empty: metadata.len() == 0,
            is_live: false,
            is_compressed: false,
        }
    }

    /// Opens it. `None` if another file has its name now, or none has.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(&self) -> Result<Option<Content>> {
        let opened = match self.is_live {
            true => std::fs::File::open(&self.path).map(Content::plain),
            false => Content::open(&self.path, self.is_compressed),
        };
        match opened {
            Ok(content) => Ok((content.id()? == self.id).then_some(content)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The rotated files of `path`, from the oldest to the newest, and the file itself as the last one.
/// `known` is the file that a checkpoint is of: if `path` is a link, it may have led there.
///
/// # Errors
/// A folder cannot be read.
pub(super) fn list(path: &Path, known: Option<&Path>) -> Result<Vec<Candidate>> {
    let mut before = None;
    for _ in 0..READINGS {
        let found = list_once(path, known)?;
        let agrees = |before: &Vec<Candidate>| {
            let names = |list: &[Candidate]| -> Vec<_> {
                list.iter().map(|it| (it.path.clone(), it.id)).collect()
            };
            names(before) == names(&found)
        };
        if before.as_ref().is_some_and(agrees) {
            return Ok(found);
        }
        if before.is_some() {
            std::thread::sleep(BETWEEN);
        }
        before = Some(found);
    }
    Ok(before.unwrap_or_default())
}

fn list_once(path: &Path, known: Option<&Path>) -> Result<Vec<Candidate>> {
    let live = match std::fs::metadata(path) {
        Ok(metadata) => Some(Candidate {
            is_live: true,
            ..Candidate::new(path.to_owned(), &metadata)
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let linked = std::fs::canonicalize(path).ok();
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let mut bases = vec![(path, false)];
    bases.extend(linked.as_deref().map(|linked| (linked, is_link)));
    bases.extend(known.filter(|_| is_link).map(|known| (known, true)));
    let mut found: Vec<(Name, Candidate)> = Vec::new();
    for (base, digits_differ) in bases {
        let Some(base_name) = base.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        for entry in folder_of(base) {
            let file_name = entry.file_name();
            let name = file_name
                .to_str()
                .and_then(|name| parse(name, base_name, digits_differ));
            // A file that is gone again is not listed.
            let (Some(name), Ok(metadata)) = (name, std::fs::metadata(entry.path())) else {
                continue;
            };
            let is_live = live.as_ref().is_some_and(|live| live.id == id(&metadata));
            let is_known = found.iter().any(|(_, it)| it.id == id(&metadata));
            if metadata.is_file() && !is_live && !is_known {
                let candidate = Candidate {
                    is_compressed: name.is_compressed,
                    ..Candidate::new(base.with_file_name(&file_name), &metadata)
                };
                found.push((name, candidate));
            }
        }
    }
    let mut found = in_order(found);
    found.drain(..found.len().saturating_sub(MOST));
    found.extend(live);
    Ok(found)
}

/// The entries of a file's folder; none if it cannot be read.
fn folder_of(path: &Path) -> impl Iterator<Item = std::fs::DirEntry> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let entries = std::fs::read_dir(folder).ok();
    entries.into_iter().flatten().flatten()
}

/// From the oldest to the newest.
fn in_order(mut found: Vec<(Name, Candidate)>) -> Vec<Candidate> {
    // A file that is being compressed is there twice for a while; the compressed one is incomplete.
    let plain: Vec<Name> = found
        .iter()
        .filter(|(name, _)| !name.is_compressed)
        .map(|(name, _)| name.clone())
        .collect();
    found.retain(|(name, _)| {
        let same = |it: &Name| it.base == name.base && it.age == name.age;
        !name.is_compressed || !plain.iter().any(same)
    });
    let ascends = numbers_ascend(&found);
    let group = |age: &Age| std::mem::discriminant(age);
    // Files named by number and files named by date are there when the kind of rotation was
    // changed: those that were written to last are newer.
    let newest = |age: &Age| {
        let of_group = found
            .iter()
            .filter(|(name, _)| group(&name.age) == group(age));
        of_group.map(|(_, it)| it.modified).max()
    };
    let numbers_first = newest(&Age::Number(0)) <= newest(&Age::Date(Vec::new()));
    let rank = |age: &Age| match age {
        Age::Number(_) => usize::from(!numbers_first),
        Age::Date(_) => usize::from(numbers_first),
        Age::Base => 2,
    };
    found.sort_by(|(a, _), (b, _)| {
        let by_age = match (&a.age, &b.age) {
            (Age::Number(a), Age::Number(b)) if !ascends => b.cmp(a),
            (Age::Number(_), Age::Number(_)) | (Age::Date(_), Age::Date(_)) => a.age.cmp(&b.age),
            (one, other) => rank(one).cmp(&rank(other)),
        };
        a.base.cmp(&b.base).then(by_age)
    });
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Whether larger numbers are newer (log4j's default): the times of writing say so. Those of
/// compressed files may be the times of compression.
fn numbers_ascend(found: &[(Name, Candidate)]) -> bool {
    let mut numbered: Vec<_> = found
        .iter()
        .filter(|(name, _)| matches!(name.age, Age::Number(_)) && !name.is_compressed)
        .map(|(name, it)| (&name.age, it.modified))
        .collect();
    numbered.sort();
    match (numbered.first(), numbered.last()) {
        (Some((_, first)), Some((_, last))) => last > first,
        _ => false,
    }
}

/// What `name` says if it is that of a rotated file of `base`.
fn parse(name: &str, base: &str, digits_differ: bool) -> Option<Name> {
    let suffix = COMPRESSED.iter().find(|suffix| name.ends_with(**suffix));
    let plain = suffix.map_or(name, |suffix| &name[..name.len() - suffix.len()]);
    let is_compressed = suffix.is_some();
    let named = |base, age| Name {
        base,
        age,
        is_compressed,
    };
    if digits_differ {
        let (digits, rest) = strip_alike(plain, base)?;
        let age = match rest {
            "" => Age::Base,
            rest => age(rest)?,
        };
        return Some(named(digits, age));
    }
    if let Some(rest) = plain.strip_prefix(base) {
        return Some(named(Vec::new(), age(rest)?));
    }
    let (stem, extension) = base.rsplit_once('.')?;
    let rest = plain.strip_prefix(stem)?;
    let age = age(rest.strip_suffix(extension)?.strip_suffix('.')?)?;
    // `events-2.log` beside `events.log` may be a log of its own.
    let is_sure = rest.starts_with('.') || matches!(age, Age::Date(_));
    is_sure.then(|| named(Vec::new(), age))
}

/// The age that the part of a name says that a rotation added: `.1`, `-20261129`.
fn age(part: &str) -> Option<Age> {
    let is_separator = |letter: char| "-_.:T+Z".contains(letter);
    let digits: usize = part.chars().filter(char::is_ascii_digit).count();
    let others = part.chars().filter(|letter| !letter.is_ascii_digit());
    if !part.starts_with(['-', '_', '.']) || digits == 0 || !others.clone().all(is_separator) {
        return None;
    }
    match numbers(part)?.as_slice() {
        [number] if digits < DATE => Some(Age::Number(*number)),
        all => Some(Age::Date(all.to_vec())),
    }
}

/// The numbers in a text; `None` if one of them is too large for a date.
fn numbers(text: &str) -> Option<Vec<u128>> {
    text.split(|letter: char| !letter.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().ok())
        .collect()
}

/// Strips a beginning of `name` that is like `base` but for its numbers. Returns these numbers and
/// the rest.
fn strip_alike<'a>(mut name: &'a str, mut base: &str) -> Option<(Vec<u128>, &'a str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut found = Vec::new();
    while let Some(letter) = base.chars().next() {
        match (digits(base), digits(name)) {
            (0, _) => {
                name = name.strip_prefix(letter)?;
                base = &base[letter.len_utf8()..];
            }
            (_, 0) => return None,
            (in_base, in_name) => {
                found.push(name[..in_name].parse().ok()?);
                (name, base) = (&name[in_name..], &base[in_base..]);
            }
        }
    }
    Some((found, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of these names, written one after the other.
    fn files(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (name, number) in names.iter().zip(0..) {
            let file = std::fs::File::create(folder.path().join(name)).unwrap();
            let times = std::fs::FileTimes::new();
            let modified = start + Duration::from_secs(number);
            file.set_times(times.set_modified(modified)).unwrap();
        }
        folder
    }

    /// Checks the order of the files, which are written in this one.
    fn check(names: &[&str], expected: &[&str]) {
        let folder = files(names);
        let found = list(&folder.path().join("e.log"), None).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|it| it.path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn numbers_descend_and_dates_ascend() {
        let numbered = ["e.log.10.gz", "e.log.3.gz", "e.log.2", "e.log.1", "e.log"];
        check(&numbered, &numbered);
        // Compressed last, which changed its time.
        let late = ["e.log.1", "e.log", "e.log.2.gz"];
        check(&late, &["e.log.2.gz", "e.log.1", "e.log"]);
        let dated = [
            "e.log-20261127.gz",
            "e.log-20261128",
            "e.log-20261128.1",
            "e.log",
        ];
        check(
            &[
                "e.log-20261128.1",
                "e.log",
                "e.log-20261127.gz",
                "e.log-20261128",
            ],
            &dated,
        );
        let by_hour = ["e.2026-11-29_09.log", "e.2026-11-29_10.log.gz", "e.log"];
        check(&by_hour, &by_hour);
        let log4j = ["e.1.log", "e.2.log", "e.log"];
        check(&log4j, &log4j);
        let changed = ["e.log.2", "e.log.1", "e.log-20261128", "e.log"];
        check(&changed, &changed);
        check(
            &["e.log-20261128", "e.log.2", "e.log.1", "e.log"],
            &["e.log-20261128", "e.log.2", "e.log.1", "e.log"],
        );
    }

    #[test]
    fn other_files_are_not_rotated_ones() {
        let names = [
            "e.log",
            "e.log.acks",
            "e.log.1.tmp",
            "e-2.log",
            "f.log.1",
            "e.log.bak",
            "e.log~",
            "e.logs.1",
            "e.log.",
            "e.log1",
        ];
        check(&names, &["e.log"]);
    }

    #[test]
    fn a_file_that_is_being_compressed_is_listed_once() {
        check(&["e.log.1", "e.log.1.gz", "e.log"], &["e.log.1", "e.log"]);
    }

    #[test]
    fn a_link_leads_to_files_with_other_digits() {
        let folder = files(&[
            "0.log",
            "1.log.20261129-101112.gz",
            "1.log",
            "2.log",
            "x.log",
        ]);
        let link = folder.path().join("e.log");
        std::os::unix::fs::symlink("2.log", &link).unwrap();
        let known = folder.path().join("0.log");
        let found = list(&link, Some(&known)).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|it| it.path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(
            found,
            ["0.log", "1.log.20261129-101112.gz", "1.log", "e.log"]
        );
    }
}
