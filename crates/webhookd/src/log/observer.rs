//! The dispatcher's trouble, as log lines.

use super::Sparing;
use webhook_dispatch::{Follows, Observer, Trouble, webhook_id};

/// Logs trouble: a line for each event's, none for its success.
#[derive(Clone, Debug)]
pub(crate) struct LogObserver {
    sparing: Sparing,
}

impl LogObserver {
    pub(crate) fn new(sparing: Sparing) -> LogObserver {
        LogObserver { sparing }
    }
}

impl Observer for LogObserver {
    fn trouble(&self, trouble: &Trouble<'_>) {
        match trouble {
            Trouble::BreakerOpened { target, back_off } => tracing::warn!(
                target,
                back_off_seconds = back_off.as_secs_f64(),
                "{trouble}"
            ),
            Trouble::BreakerClosed { target } => tracing::info!(target, "{trouble}"),
            Trouble::TargetStopped { target } => tracing::error!(target, "{trouble}"),
            _ => self.sparing.log(|| log_one_of_many(trouble)),
        }
    }
}

/// Trouble that every event may have.
fn log_one_of_many(trouble: &Trouble<'_>) {
    match trouble {
        Trouble::AttemptFailed {
            target,
            task,
            id,
            attempt,
            outcome,
            follows,
            ..
        } => {
            let id = webhook_id(*id);
            let outcome = outcome.name();
            let (follows, reason, retry_in_seconds) = name(*follows);
            tracing::warn!(
                target,
                task,
                id,
                attempt,
                outcome,
                follows,
                reason,
                retry_in_seconds,
                "{trouble}"
            );
        }
        Trouble::QueueUnreadable { target, .. } => tracing::error!(target, "{trouble}"),
        Trouble::SenderNotStarted { target, .. } => tracing::error!(target, "{trouble}"),
        Trouble::NotAccepted { .. } => tracing::error!("{trouble}"),
        _ => tracing::warn!("{trouble}"),
    }
}

/// What follows, its reason, and the seconds until a retry.
fn name(follows: Follows) -> (&'static str, Option<&'static str>, Option<f64>) {
    match follows {
        Follows::Retry(wait) => ("retry", None, Some(wait.as_secs_f64())),
        Follows::DeadLetter(reason) => ("dead-letter", Some(reason.name()), None),
        Follows::Nothing => ("nothing", None, None),
        Follows::Stop => ("stop", None, None),
        _ => ("unknown", None, None),
    }
}
