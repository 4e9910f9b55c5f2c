//! `webhookd` as a process that is fed, and whose acknowledgements are counted.

use super::{DEADLINE, Setup};
use crate::mib;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use testkit::load::{Feeder, Label};
use testkit::{Ended, Launch, Process, Signal};

/// A running `webhookd`.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) process: Process,
    acks: Arc<Mutex<Acks>>,
}

/// Acknowledgements so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Acks {
    pub(super) count: u64,
    last_at: Option<Instant>,
    /// The longest time between two.
    pub(super) longest_gap: Duration,
}

impl Daemon {
    /// Starts it in `folder`, whose `webhook.json` it reads and whose `queue` it uses.
    pub(super) fn start(setup: &Setup, folder: &Path, grace: &str) -> Daemon {
        let acks = Arc::new(Mutex::new(Acks::default()));
        let counting = Arc::clone(&acks);
        let process = Launch::of(&setup.webhookd)
            .args([
                "run",
                "--webhook-config",
                "webhook.json",
                "--queue",
                "queue",
            ])
            .args(["--acks", "-", "--grace", grace, "--summary", "json"])
            .current_dir(folder)
            .watching_memory()
            .lines(move |_| lock(&counting).count())
            .spawn();
        Daemon { process, acks }
    }

    /// Feeds events on a thread of its own, and leaves the input open.
    pub(super) fn feed(
        &mut self,
        setup: &Setup,
        labels: impl Iterator<Item = Label> + Send + 'static,
    ) -> Feeder {
        Feeder::start(self.process.take_input(), &setup.load, labels, false)
    }

    pub(super) fn acks(&self) -> Acks {
        *lock(&self.acks)
    }

    /// Waits for so many acknowledgements.
    pub(super) fn wait_for_acks(&self, count: u64) -> Result<()> {
        let all = self
            .process
            .wait_for(DEADLINE, || self.acks().count >= count);
        ensure!(
            all,
            "{} of {count} events were acknowledged",
            self.acks().count
        );
        Ok(())
    }

    /// The most anonymous memory that it had since the last call, MiB.
    pub(super) fn take_peak(&self) -> f64 {
        mib(self.process.take_peak_memory())
    }

    /// Waits for its end, and returns all acknowledgements.
    pub(super) fn finish(self) -> (Ended, Acks) {
        let ended = self.process.wait_at_most(DEADLINE);
        (ended, *lock(&self.acks))
    }

    /// Kills it, once it was fed.
    pub(super) fn kill(self, feeder: Feeder) -> Result<()> {
        feeder.join().context("webhookd stopped reading")?;
        self.process.signal(Signal::KILL);
        self.process.wait();
        Ok(())
    }
}

fn lock(acks: &Mutex<Acks>) -> MutexGuard<'_, Acks> {
    acks.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Acks {
    fn count(&mut self) {
        let now = Instant::now();
        let gap = self.last_at.map_or(Duration::ZERO, |last| now - last);
        self.longest_gap = self.longest_gap.max(gap);
        self.last_at = Some(now);
        self.count += 1;
    }
}
