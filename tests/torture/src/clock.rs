//! A wall clock that is wrong, and jumps while webhookd runs: by libfaketime, where it is installed.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use testkit::Launch;

/// Seconds that the wall clock is wrong by; far less than the age at which events are given up.
const FARTHEST: i32 = 2 * 3_600;

/// The seconds by which the wall clock of a run is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jump {
    pub(crate) from: i32,
    pub(crate) to: i32,
}

impl Jump {
    pub(crate) fn draw(random: &mut fastrand::Rng) -> Jump {
        let mut seconds = || random.i32(-FARTHEST..=FARTHEST);
        Jump {
            from: seconds(),
            to: seconds(),
        }
    }
}

/// libfaketime, and the file from which it reads the time.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// `None` if libfaketime is not installed.
    pub(crate) fn find(folder: &Path) -> Option<Clock> {
        // Debian has a folder for each architecture.
        let lib = std::fs::read_dir("/usr/lib").ok()?;
        let folders = lib.filter_map(|entry| Some(entry.ok()?.path()));
        let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
        Some(Clock {
            library: libraries.find(|library| library.exists())?,
            file: folder.join("clock"),
        })
    }

    /// Sets the wall clock of the runs that are launched with it.
    pub(crate) fn set(&self, seconds: i32) -> Result<()> {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n"))
            .and_then(|()| std::fs::rename(&new, &self.file))
            .context("cannot set the clock")
    }

    pub(crate) fn launch(&self, launch: Launch) -> Result<Launch> {
        let text = |path: &Path| path.to_str().map(str::to_owned).context("not UTF-8");
        let launch = launch
            .env("LD_PRELOAD", &text(&self.library)?)
            .env("FAKETIME_TIMESTAMP_FILE", &text(&self.file)?)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        // The times of files stay as they are.
        Ok(launch.env("NO_FAKE_STAT", "1"))
    }

    /// Removes what libfaketime leaves when a process is killed: it would keep another process with
    /// the same number from starting.
    pub(crate) fn clean_up(process: u32) {
        for name in ["faketime_shm_", "sem.faketime_sem_"] {
            drop(std::fs::remove_file(format!("/dev/shm/{name}{process}")));
        }
    }
}
