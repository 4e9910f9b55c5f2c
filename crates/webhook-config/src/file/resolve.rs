//! Resolves the file's references to environment variables and other files.

use super::mirror::{SecretFile, SecretFrom};
use super::opened;
use super::read::{Reader, Spanned};
use crate::diagnostic::Code;
use crate::secret::SecretSource;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The largest file of a secret, certificate or key, in bytes.
const MAX_SECRET_FILE: u64 = 1 << 20;

/// The environment in which the file's references are resolved.
pub(crate) struct Surroundings<'a> {
    /// The directory that relative paths start from.
    pub(crate) dir: &'a Path,
    /// Looks up an environment variable.
    pub(crate) env: &'a dyn Fn(&str) -> Option<OsString>,
    /// Whether every user on this machine can read the file.
    pub(crate) world_readable: bool,
    /// Whether variables and other files are left unread. What they hold counts as missing, and is
    /// not a problem.
    pub(crate) without_secrets: bool,
}

/// A secret's text and its source.
pub(crate) struct Resolved {
    pub(crate) text: String,
    pub(crate) source: SecretSource,
}

impl Surroundings<'_> {
    /// Resolves a path in the file.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }

    /// Resolves a secret. A problem is reported, without the secret.
    pub(crate) fn secret(&self, secret: &SecretFile, reader: &mut Reader) -> Option<Resolved> {
        match &secret.from {
            SecretFrom::Literal(text) => Some(Resolved {
                text: text.clone(),
                source: SecretSource::Literal,
            }),
            SecretFrom::Env(name) => {
                let text = self.env_text(name, reader)?;
                Some(Resolved {
                    text,
                    source: SecretSource::Env(name.value.clone()),
                })
            }
            SecretFrom::File(path) => {
                let mut text = self.file_text(path, reader)?;
                if text.ends_with('\n') {
                    text.pop();
                    if text.ends_with('\r') {
                        text.pop();
                    }
                }
                Some(Resolved {
                    text,
                    source: SecretSource::File(self.path(&path.value)),
                })
            }
        }
    }

    fn env_text(&self, name: &Spanned<String>, reader: &mut Reader) -> Option<String> {
        let shown = super::object::shorten(&name.value);
        let is_name = !name.value.is_empty() && !name.value.contains(['=', '\0']);
        if is_name && self.without_secrets {
            return None;
        }
        let found = is_name.then(|| (self.env)(&name.value)).flatten();
        let problem = match found.map(OsString::into_string) {
            Some(Ok(text)) => return Some(text),
            Some(Err(_)) => format!("the environment variable `{shown}` is not UTF-8"),
            None => format!("the environment variable `{shown}` is not set"),
        };
        let help = "set it where this program is started, or read it from a file instead";
        reader.error(Code::UnresolvedSecret, &name.span, problem, help);
        None
    }

    /// Reads the text of a file that the configuration names.
    pub(crate) fn file_text(&self, path: &Spanned<String>, reader: &mut Reader) -> Option<String> {
        if self.without_secrets {
            return None;
        }
        let full = self.path(&path.value);
        let reason = match opened::read(&full, MAX_SECRET_FILE) {
            Ok(opened) => match String::from_utf8(opened.bytes) {
                Ok(text) => return Some(text),
                Err(_) => "it is not UTF-8".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        let message = format!("cannot read {}: {reason}", full.display());
        let help = "a relative path starts from the directory of this file";
        reader.error(Code::UnresolvedSecret, &path.span, message, help);
        None
    }

    /// Warns if every user on this machine can read a secret.
    pub(crate) fn warn_if_exposed(&self, what: &str, secret: &SecretFile, reader: &mut Reader) {
        if self.world_readable && matches!(secret.from, SecretFrom::Literal(_)) {
            let message = format!("every user on this machine can read {what}");
            let help =
                "chmod o-r this file, or move the secret out: {\"file\": PATH} or {\"env\": NAME}";
            reader.warning(Code::ExposedSecret, &secret.span, message, help);
        }
    }
}
