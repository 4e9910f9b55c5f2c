//! Reads the bytes of a file up to its content.

use super::convert::{self, Context, FileContent};
use super::mirror::TargetFile;
use super::object::{FileObject, shorten, unknown_key};
use super::opened::{self, OpenError};
use super::read::Reader;
use super::resolve::Surroundings;
use super::root::ConfigFile;
use crate::aurora::MOST_MEMBERS;
use crate::diagnostic::{Code, Diagnostics, LoadError, Problems, Source};
use crate::json::{self, Kind, Member, Span, SyntaxError, Value};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes.
pub(crate) const MAX_FILE: u64 = 1 << 20;

/// The text of a configuration file, read and not yet parsed.
#[derive(Clone)]
pub struct ConfigText {
    name: String,
    dir: PathBuf,
    bytes: Vec<u8>,
    world_readable: bool,
}

impl ConfigText {
    /// Reads a regular file of at most 1 MiB.
    ///
    /// # Errors
    /// When the file cannot be read, is none, or is larger.
    pub fn read(path: &Path) -> Result<ConfigText, LoadError> {
        let name = path.display().to_string();
        let opened = opened::read(path, MAX_FILE).map_err(|error| {
            let code = match error {
                OpenError::TooLarge(_) => Code::FileTooLarge,
                _ => Code::UnreadableFile,
            };
            let help = match error {
                OpenError::TooLarge(_) => {
                    "a configuration takes a few kilobytes: is it another file?"
                }
                OpenError::Irregular(_) => "name a regular file",
                OpenError::Io(_) => "check the path and its permissions",
            };
            whole_file(&name, code, &format!("cannot read the file: {error}"), help)
        })?;
        Ok(ConfigText {
            name,
            dir: path.parent().unwrap_or(Path::new("")).to_owned(),
            bytes: opened.bytes,
            world_readable: opened.world_readable,
        })
    }

    /// A text as if it were read from a file in `dir`; diagnostics show `name` as its file.
    #[must_use]
    pub fn of(dir: &Path, name: &str, bytes: &[u8]) -> ConfigText {
        ConfigText {
            name: name.to_owned(),
            dir: dir.to_owned(),
            bytes: bytes.to_vec(),
            world_readable: false,
        }
    }

    /// Its bytes, of which a fingerprint can be made.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Checks it without the environment variables and files that it names: they need not exist.
    /// The file is valid then if no problem is an error.
    #[must_use]
    pub fn check_without_secrets(&self) -> Diagnostics {
        match self.resolve(true) {
            Ok((_, warnings)) => warnings,
            Err(error) => error.into_diagnostics(),
        }
    }

    pub(crate) fn parse(&self) -> Result<(FileContent, Diagnostics), LoadError> {
        self.resolve(false)
    }

    fn resolve(&self, without_secrets: bool) -> Result<(FileContent, Diagnostics), LoadError> {
        let env = |name: &str| std::env::var_os(name);
        let surroundings = Surroundings {
            dir: &self.dir,
            env: &env,
            world_readable: self.world_readable,
            without_secrets,
        };
        read(&self.name, &self.bytes, &surroundings)
    }
}

/// Its bytes may hold secrets.
impl fmt::Debug for ConfigText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigText")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

pub(crate) fn parse(
    dir: &Path,
    name: &str,
    bytes: &[u8],
) -> Result<(FileContent, Diagnostics), LoadError> {
    let env = |name: &str| -> Option<OsString> { std::env::var_os(name) };
    read(
        name,
        bytes,
        &Surroundings {
            dir,
            env: &env,
            world_readable: false,
            without_secrets: false,
        },
    )
}

/// Reads the content of a file.
pub(crate) fn read(
    name: &str,
    bytes: &[u8],
    surroundings: &Surroundings<'_>,
) -> Result<(FileContent, Diagnostics), LoadError> {
    if bytes.len() as u64 > MAX_FILE {
        let message = format!("the text is larger than {MAX_FILE} bytes");
        return Err(whole_file(name, Code::FileTooLarge, &message, ""));
    }
    let text = decode(name, bytes)?;
    let document = json::parse(&text);
    let mut reader = Reader::default();
    let mut hidden = Vec::new();
    let content = document.root.as_ref().and_then(|root| {
        let is_partial = document.error.is_some();
        let content = convert_root(root, &text, is_partial, surroundings, &mut reader);
        hide(root, &reader, &mut hidden);
        content
    });
    if let Some(error) = &document.error {
        let code = if error.too_deep {
            Code::TooDeep
        } else {
            Code::Syntax
        };
        let help = error.help.unwrap_or_default();
        reader.error(code, &error.span, &error.message, help);
        hide_unread(&text, error, &mut hidden);
    } else if document.root.is_none() {
        let help = "such as {\"targetURL\": \"http://localhost:5000/\", \"headers\": {}, \"timeoutMsec\": 5000}";
        reader.error(Code::EmptyFile, &(0..0), "the file is empty", help);
    }
    if let Some(trailing) = &document.trailing {
        let message = "text after the closing brace is ignored";
        reader.warning(Code::TrailingText, trailing, message, "remove it");
        hide_words(&text, trailing.clone(), &mut hidden);
    }
    hidden.append(&mut reader.hidden);
    let source = Source::new(name, text, hidden);
    let has_errors = reader.problems.count_errors() > 0;
    let diagnostics = reader.problems.finish(source);
    match content.filter(|_| !has_errors) {
        Some(content) => Ok((content, diagnostics)),
        None => Err(LoadError::new(diagnostics)),
    }
}

/// The error of a problem with the file as a whole.
fn whole_file(name: &str, code: Code, message: &str, help: &str) -> LoadError {
    let mut problems = Problems::default();
    problems.error(code, &(0..0), message, help);
    LoadError::new(problems.finish(Source::new(name, String::new(), Vec::new())))
}

/// The text of a file in UTF-8 without a byte order mark.
fn decode(name: &str, bytes: &[u8]) -> Result<String, LoadError> {
    let mark = [
        &b"\xef\xbb\xbf"[..],
        b"\xff\xfe",
        b"\xfe\xff",
        b"\0\0\xfe\xff",
    ];
    // Without a mark, zero bytes around the first brace reveal UTF-16 and UTF-32.
    let zero = bytes.iter().take(4).any(|byte| *byte == 0);
    if mark.iter().any(|mark| bytes.starts_with(mark)) || zero {
        let message = "the file starts with a byte order mark, or is not UTF-8";
        let help = "save it as UTF-8 without a byte order mark";
        return Err(whole_file(name, Code::ByteOrderMark, message, help));
    }
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|error| {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
            let mut problems = Problems::default();
            let end = good.len();
            let byte = bytes.get(end).copied().unwrap_or_default();
            let message = format!("the byte 0x{byte:02x} here is not UTF-8");
            let help = "save the file as UTF-8; Aurora put a replacement character there";
            problems.error(Code::InvalidUtf8, &(end..end), message, help);
            let hidden = std::iter::once(0..end).collect();
            LoadError::new(problems.finish(Source::new(name, good, hidden)))
        })
}

/// Converts the root, which has the keys of one target, or `targets`.
fn convert_root(
    root: &Value,
    text: &str,
    is_partial: bool,
    surroundings: &Surroundings<'_>,
    reader: &mut Reader,
) -> Option<FileContent> {
    let Kind::Object(members) = &root.kind else {
        if !is_partial {
            reader.wrong_type(root, "an object");
        }
        return None;
    };
    let mut file = ConfigFile {
        span: root.span.clone(),
        ..ConfigFile::default()
    };
    let mut target = TargetFile {
        span: root.span.clone(),
        ..TargetFile::default()
    };
    let target_keys = read_root(members, &mut file, &mut target, reader);
    let context = Context {
        text,
        is_partial,
        surroundings,
    };
    convert::content(file, target, &target_keys, &context, reader)
}

/// Reads the members of the root; returns the places of keys that belong to a target.
fn read_root(
    members: &[Member],
    file: &mut ConfigFile,
    target: &mut TargetFile,
    reader: &mut Reader,
) -> Vec<Span> {
    let mut target_keys = Vec::new();
    let mut seen = HashSet::new();
    let mut cut: Option<Span> = None;
    for Member { key, value } in members {
        if let Some(list) = &cut {
            let key = shorten(&key.text);
            let message =
                format!("a list inside `statuses`: Aurora stopped reading there, before `{key}`");
            let help = "write the statuses in one list";
            reader.error(Code::WrongType, list, message, help);
        }
        // `inputs` is a key of both: here it is the file's.
        if !file.set(&key.text, value, reader) {
            if !target.set(&key.text, value, reader) {
                unknown_key(key, &root_keys(), reader);
                continue;
            }
            target_keys.push(key.span.clone());
        }
        if !seen.insert(key.text.as_str()) {
            repeated_root_key(key, members.len(), reader);
        }
        if key.text == "statuses" {
            cut = target.statuses.as_given().and_then(|list| list.cut.clone());
        }
    }
    target_keys
}

/// The keys that are allowed at the top level.
fn root_keys() -> Vec<&'static str> {
    let of_target = TargetFile::KEYS.iter();
    let of_target = of_target.filter(|key| !ConfigFile::KEYS.contains(key));
    of_target.chain(ConfigFile::KEYS).copied().collect()
}

fn repeated_root_key(key: &json::Key, members: usize, reader: &mut Reader) {
    let (help, name) = ("remove all but one", &key.text);
    if members > MOST_MEMBERS {
        let message = format!("`{name}` is given more than once; Aurora refused such a file");
        reader.error(Code::DuplicateKey, &key.span, message, help);
    } else {
        let message = format!("`{name}` is given more than once; the last one counts");
        reader.warning(Code::DuplicateKey, &key.span, message, help);
    }
}

/// Hides every scalar that may not be shown.
fn hide(value: &Value, reader: &Reader, hidden: &mut Vec<Span>) {
    match &value.kind {
        Kind::String(_) if !reader.is_shown(value) => {
            hidden.push(value.span.start + 1..value.span.end - 1);
        }
        Kind::Number(_) if !reader.is_shown(value) => hidden.push(value.span.clone()),
        Kind::Array(items) => items.iter().for_each(|item| hide(item, reader, hidden)),
        Kind::Object(members) => {
            members
                .iter()
                .for_each(|member| hide(&member.value, reader, hidden));
        }
        _ => {}
    }
}

/// Hides the text from the token with the syntax error on: any part of it may be a value.
fn hide_unread(text: &str, error: &SyntaxError, hidden: &mut Vec<Span>) {
    hide_words(text, error.token_start..text.len(), hidden);
}

/// Hides everything but punctuation and known keys.
fn hide_words(text: &str, part: Span, hidden: &mut Vec<Span>) {
    let punctuation = |c: char| c.is_ascii_whitespace() || "{}[]:,\"".contains(c);
    let known = root_keys();
    let mut at = part.start;
    for word in text[part.clone()].split(punctuation) {
        let end = at + word.len();
        if !word.is_empty() && !known.contains(&word) {
            hidden.push(at..end);
        }
        // One byte for the punctuation, which is ASCII.
        at = end + 1;
    }
}
