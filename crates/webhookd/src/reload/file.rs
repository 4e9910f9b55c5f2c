//! The configuration file, with the overrides of the command line.

use hmac_sha256::Hash;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use webhook_config::{Config, ConfigText, Diagnostics, LoadError, Loaded};

/// The path of the configuration, and its overrides.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    overrides: Overrides,
}

/// What the command line has instead of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// The directory of the queue.
    pub(crate) queue: Option<PathBuf>,
    /// The directory of the files on this machine: of the queue, too, unless it is a database.
    pub(crate) state_dir: Option<PathBuf>,
}

/// The file at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// The SHA-256 of its bytes, in hexadecimal; `None` if it cannot be read.
    pub(crate) hash: Option<String>,
    /// The configuration and its warnings, or its errors.
    pub(crate) found: Result<(Config, Diagnostics), Diagnostics>,
}

impl ConfigFile {
    pub(crate) fn new(path: PathBuf, overrides: Overrides) -> ConfigFile {
        ConfigFile { path, overrides }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file once, and the files that it refers to.
    pub(crate) fn look(&self) -> Look {
        let text = ConfigText::read(&self.path);
        Look {
            // If the file cannot be read, the diagnostics say so.
            hash: text.as_ref().ok().map(|text| sha256(text.bytes())),
            found: self.override_queue(text.and_then(|text| Config::from_text(&text))),
        }
    }

    /// Parses a text as if it were the file.
    pub(crate) fn check(&self, text: &[u8]) -> Result<(Config, Diagnostics), Diagnostics> {
        let name = self.path.display().to_string();
        let dir = self.path.parent().unwrap_or(Path::new(""));
        self.override_queue(Config::parse_in(dir, &name, text))
    }

    /// Parses a text as if it were the file, without the files and environment variables that it names.
    ///
    /// # Errors
    /// It is not valid.
    pub(crate) fn check_without_secrets(&self, text: &[u8]) -> Result<Diagnostics, Diagnostics> {
        let name = self.path.display().to_string();
        let dir = self.path.parent().unwrap_or(Path::new(""));
        let found = ConfigText::of(dir, &name, text).check_without_secrets();
        match found.has_errors() {
            false => Ok(found),
            true => Err(found),
        }
    }

    fn override_queue(
        &self,
        loaded: Result<Loaded, LoadError>,
    ) -> Result<(Config, Diagnostics), Diagnostics> {
        let Loaded {
            config, warnings, ..
        } = loaded.map_err(|error| error.diagnostics().clone())?;
        let Overrides { queue, state_dir } = &self.overrides;
        let queue = queue
            .as_ref()
            .filter(|_| config.queue().postgres().is_none());
        let config = match queue.or(state_dir.as_ref()) {
            None => config,
            Some(dir) => {
                let settings = config.queue().clone().with_dir(dir);
                config.with_queue(settings)
            }
        };
        Ok((config, warnings))
    }
}

impl Look {
    /// Whether both have the same content, with the secrets that the file refers to.
    pub(super) fn is_like(&self, other: &Look) -> bool {
        self.hash == other.hash
            && match (&self.found, &other.found) {
                (Ok((config, _)), Ok((other, _))) => config == other,
                (Err(problems), Err(other)) => problems.to_string() == other.to_string(),
                _ => false,
            }
    }
}

fn sha256(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Hash::hash(bytes) {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_for_the_queues_directory_replaces_nothing_else() {
        let text = r#"{"targets": [], "queue": {"maxBytes": 2000000, "whenFull": "reject",
            "deadLetters": {"maxCount": 3}, "maxLastStates": 4}}"#;
        let text = text.replace(
            "[]",
            r#"[{"targetURL": "http://x/", "headers": {}, "timeoutMsec": 1000}]"#,
        );
        let queue = |dir: Option<&str>| {
            let queue = dir.map(PathBuf::from);
            let overrides = Overrides {
                queue,
                state_dir: None,
            };
            let file = ConfigFile::new("webhook.json".into(), overrides);
            let (config, _) = file.check(text.as_bytes()).unwrap();
            config.queue().clone()
        };
        assert_eq!(queue(Some("/other")), queue(None).with_dir("/other"));
    }

    #[test]
    fn the_hash_is_what_sha256sum_prints() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
