//! Notices: events about webhookd itself, which one target gets (`notices` of the configuration).
//!
//! A thread compares the program's figures with what was reported before (`watch.rs`), and submits
//! what is new as CloudEvents (`notice.rs`) of the input `notices`. No thread that delivers waits for
//! it.

mod notice;
mod watch;

use crate::daemon::Daemon;
use crate::log::BreakerCauses;
use crate::periodic::Periodic;
use anyhow::Result;
use notice::Notice;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use watch::{Figures, Watch};
use webhook_config::InputName;
use webhook_dispatch::{Submission, Submitter};

/// How often the figures are compared.
const EVERY: Duration = Duration::from_secs(1);
/// How long a notice may wait for its commit. A shutdown may wait as long.
const COMMIT_TIME: Duration = Duration::from_secs(2);

/// Starts the thread.
///
/// # Errors
/// The system refuses it.
pub(crate) fn start(
    daemon: &Arc<Daemon>,
    submitter: Submitter,
    causes: BreakerCauses,
) -> Result<Periodic> {
    let daemon = Arc::clone(daemon);
    let mut watch = Watch::default();
    let mut is_on = true;
    Periodic::start("notices", EVERY, move || {
        let config = daemon.control.config();
        let Some(target) = config.notices() else {
            is_on = false;
            return;
        };
        let figures = figures(&daemon, &causes);
        if !std::mem::replace(&mut is_on, true) {
            watch.skip_counts(&figures);
        }
        for notice in watch.due(&figures, target.as_str(), Instant::now()) {
            match submit(&notice, &submitter) {
                Ok(()) => watch.sent(&notice, Instant::now()),
                Err(error) => {
                    watch.not_sent(&notice, Instant::now());
                    tracing::warn!(%target, "a notice was not queued: {error}: {}", notice.message);
                }
            }
        }
    })
}

fn submit(notice: &Notice, submitter: &Submitter) -> Result<(), String> {
    let event = notice.to_json(SystemTime::now());
    let submission = Submission::new(event).input(InputName::NOTICES);
    let receipt = submitter.submit(submission, Instant::now() + COMMIT_TIME);
    match receipt {
        Ok(_) => Ok(()),
        Err(error) => Err(crate::console::chain(&error.refusal)),
    }
}

fn figures(daemon: &Daemon, causes: &BreakerCauses) -> Figures {
    let monitor = &daemon.monitor;
    // If the queue cannot be read, its size is 0 of 0.
    let stats = monitor
        .stats()
        .unwrap_or_else(|_| monitor.stats_without_queue());
    Figures::of(&stats, daemon.reloader.state().failures, |target| {
        causes.of(target)
    })
}
