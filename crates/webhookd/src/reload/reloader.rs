//! Puts another configuration in force, counts reloads and logs what they changed.

use super::file::{ConfigFile, Look};
use crate::http::Peer;
use crate::{console, notify};
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;
use webhook_config::{Config, Diagnostics};
use webhook_dispatch::{Control, ReloadError, Reloaded};

/// Diagnostics of one file that are logged, at most.
const LOGGED: usize = 20;

/// Reloads the configuration.
pub(crate) struct Reloader {
    file: ConfigFile,
    control: Control,
    /// Reloads the files that the command line names.
    reload_files: OnceLock<ReloadFiles>,
    /// The file, as it was read last. Locked by reloads alone, from their start to their end: one
    /// runs at a time.
    seen: Mutex<Look>,
    /// Never locked over I/O, since scrapes and probes read it.
    report: Mutex<ConfigState>,
}

type ReloadFiles = Box<dyn Fn(&Config) -> anyhow::Result<()> + Send + Sync>;

/// The configuration in force, and the reloads so far.
#[derive(Clone, Debug)]
pub(crate) struct ConfigState {
    /// The SHA-256 of the file in force, in hexadecimal.
    pub(crate) hash: String,
    pub(crate) loaded_at: SystemTime,
    /// Reloads that took effect.
    pub(crate) reloads: u64,
    pub(crate) failures: u64,
    /// Whether the last reload took effect; `None` before the first.
    pub(crate) last: Option<bool>,
}

/// Why the configuration is reloaded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    Signal,
    /// By the admin API.
    Operator(Peer),
    Change,
}

/// The result of a reload.
#[derive(Debug)]
pub(crate) struct Reload {
    pub(crate) hash: String,
    pub(crate) reloaded: Reloaded,
    pub(crate) warnings: Diagnostics,
}

/// Why a reload changed nothing.
#[derive(Debug)]
pub(crate) enum NotReloaded {
    /// The file is not valid.
    Invalid(Diagnostics),
    /// The file is valid, but cannot be put in force.
    Impossible(ReloadError),
    /// A file that the command line names cannot be reloaded, or needs an input that is gone.
    Unreadable(anyhow::Error),
}

impl Reloader {
    /// `look` is the file of the configuration in force.
    pub(crate) fn new(file: ConfigFile, look: Look, control: Control) -> Reloader {
        let report = ConfigState {
            hash: look.hash.clone().unwrap_or_default(),
            loaded_at: SystemTime::now(),
            reloads: 0,
            failures: 0,
            last: None,
        };
        Reloader {
            file,
            control,
            reload_files: OnceLock::new(),
            seen: Mutex::new(look),
            report: Mutex::new(report),
        }
    }

    /// Sets a function that each reload calls, too, with the new configuration and before it changes
    /// anything.
    pub(crate) fn also(
        &self,
        reload: impl Fn(&Config) -> anyhow::Result<()> + Send + Sync + 'static,
    ) {
        // There is one call, at the start.
        drop(self.reload_files.set(Box::new(reload)));
    }

    pub(crate) fn file(&self) -> &ConfigFile {
        &self.file
    }

    pub(crate) fn state(&self) -> ConfigState {
        locked(&self.report).clone()
    }

    /// Reads the file and puts it in force. Blocks.
    ///
    /// # Errors
    /// Nothing was changed.
    pub(crate) fn reload(&self, cause: Cause) -> Result<Reload, NotReloaded> {
        let mut seen = locked(&self.seen);
        let look = self.file.look();
        self.take(&mut seen, look, cause)
    }

    /// Puts in force what `look` found, unless the file was the same before.
    pub(super) fn reload_if_new(&self, look: &Look) {
        let mut seen = locked(&self.seen);
        if !seen.is_like(look) {
            // The result is logged and counted.
            drop(self.take(&mut seen, look.clone(), Cause::Change));
        }
    }

    fn take(&self, seen: &mut Look, look: Look, cause: Cause) -> Result<Reload, NotReloaded> {
        notify::reloading();
        let hash = look.hash.clone().unwrap_or_default();
        seen.clone_from(&look);
        let result = self.put_in_force(look, &hash);
        locked(&self.report).note(&result);
        match &result {
            Ok(reload) => log_success(cause, reload),
            Err(error) => log_failure(cause, error),
        }
        notify::ready(match &result {
            Ok(_) => "running with the reloaded configuration",
            Err(_) => "running with the previous configuration, since the reload failed",
        });
        result
    }

    fn put_in_force(&self, look: Look, hash: &str) -> Result<Reload, NotReloaded> {
        let (config, warnings) = look.found.map_err(NotReloaded::Invalid)?;
        // First, so that an operator who exchanges a token learns of a failure.
        if let Some(reload) = self.reload_files.get() {
            reload(&config).map_err(NotReloaded::Unreadable)?;
        }
        let before = self.control.config();
        let mut reloaded = self
            .control
            .reload(config.clone())
            .map_err(NotReloaded::Impossible)?;
        reloaded.kept.extend(kept_by_sources(&before, &config));
        Ok(Reload {
            hash: hash.to_owned(),
            reloaded,
            warnings,
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ConfigState {
    fn note(&mut self, result: &Result<Reload, NotReloaded>) {
        self.last = Some(result.is_ok());
        match result {
            Ok(reload) => {
                self.hash.clone_from(&reload.hash);
                self.loaded_at = SystemTime::now();
                self.reloads += 1;
            }
            Err(_) => self.failures += 1,
        }
    }
}

/// Changed settings that the sources use only after the next start.
fn kept_by_sources(before: &Config, now: &Config) -> Vec<String> {
    let mut kept = Vec::new();
    if before.max_event_bytes() != now.max_event_bytes() {
        kept.push(format!(
            "maxEventBytes: sources that are open keep their bound of {} bytes",
            before.max_event_bytes()
        ));
    }
    if before.sources() != now.sources() {
        kept.push("sources: streams are read as before".to_owned());
    }
    kept
}

fn log_success(cause: Cause, reload: &Reload) {
    let Reloaded {
        added,
        changed,
        removed,
        kept,
        inputs,
        ..
    } = &reload.reloaded;
    let hash = &reload.hash;
    tracing::info!(
        hash,
        added = added.len(),
        changed = changed.len(),
        removed = removed.len(),
        inputs = inputs.len(),
        "configuration reloaded {cause}; targets added: {}, changed: {}, removed: {}; inputs changed: {}",
        Names(added),
        Names(changed),
        Names(removed),
        Names(inputs)
    );
    for kept in kept {
        tracing::warn!("takes effect at the next start only: {kept}");
    }
    log_diagnostics(&reload.warnings);
}

fn log_failure(cause: Cause, error: &NotReloaded) {
    tracing::error!("configuration not reloaded {cause}, and nothing was changed: {error}");
    if let NotReloaded::Invalid(diagnostics) = error {
        log_diagnostics(diagnostics);
    }
}

/// Logs the problems of a file, a line for each.
pub(crate) fn log_diagnostics(diagnostics: &Diagnostics) {
    for diagnostic in diagnostics.iter().take(LOGGED) {
        let (file, line, column) = (diagnostics.file(), diagnostic.line(), diagnostic.column());
        let severity = diagnostic.severity().as_str();
        let message = diagnostic.message();
        tracing::warn!(
            file,
            line,
            column,
            "{file}:{line}:{column}: {severity}: {message}"
        );
    }
}

/// Names, separated by commas.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.0.join(", "))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Signal => f.write_str("on SIGHUP"),
            Cause::Operator(peer) => write!(f, "by the admin API ({peer})"),
            Cause::Change => f.write_str("since the file has changed"),
        }
    }
}

impl fmt::Display for NotReloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotReloaded::Invalid(_) => f.write_str("the file is not valid"),
            NotReloaded::Impossible(error) => f.write_str(&console::chain(error)),
            NotReloaded::Unreadable(error) => write!(f, "{error:#}"),
        }
    }
}
