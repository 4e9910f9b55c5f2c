//! Logs the incidents of the dispatcher, and its attempts if there is a delivery log.

use super::RateLimitedLog;
use crate::delivery_log::DeliveryLogSender;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use webhook_dispatch::{AttemptRecord, BreakerCause, Incident, NextStep, Observer};

/// Logs each incident; a successful delivery is not one.
#[derive(Clone, Debug)]
pub(crate) struct LogObserver {
    log: RateLimitedLog,
    deliveries: Option<DeliveryLogSender>,
    causes: BreakerCauses,
}

/// Why each target's breaker opened last, in words, for notices. It is written by the threads that
/// deliver, under a lock that is held for an insertion only.
#[derive(Clone, Debug, Default)]
pub(crate) struct BreakerCauses(Arc<Mutex<HashMap<String, String>>>);

impl BreakerCauses {
    /// Notes why a target's breaker opened.
    fn note(&self, target: &str, cause: String) {
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        causes.insert(target.to_owned(), cause);
    }

    /// Why a target's breaker opened last.
    pub(crate) fn of(&self, target: &str) -> Option<String> {
        let causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        causes.get(target).cloned()
    }
}

impl LogObserver {
    pub(crate) fn new(log: RateLimitedLog, deliveries: Option<DeliveryLogSender>) -> LogObserver {
        let causes = BreakerCauses::default();
        LogObserver {
            log,
            deliveries,
            causes,
        }
    }

    /// Why breakers opened.
    pub(crate) fn causes(&self) -> BreakerCauses {
        self.causes.clone()
    }
}

impl Observer for LogObserver {
    fn incident(&self, incident: &Incident<'_>) {
        if let Incident::BreakerOpened { target, .. } = incident {
            self.causes.note(target, incident.to_string());
        }
        match incident {
            Incident::BreakerOpened {
                target,
                cause: BreakerCause::Refusals,
                ..
            } => tracing::error!(target, cause = BreakerCause::Refusals.name(), "{incident}"),
            Incident::BreakerOpened {
                target,
                cause,
                back_off,
            } => tracing::warn!(
                target,
                cause = cause.name(),
                back_off_seconds = back_off.as_secs_f64(),
                "{incident}"
            ),
            Incident::BreakerClosed { target } => tracing::info!(target, "{incident}"),
            Incident::TargetStopped { target } => tracing::error!(target, "{incident}"),
            _ => self.log.log(|| log_one_of_many(incident)),
        }
    }

    fn attempt(&self, target: &Arc<str>, attempt: &AttemptRecord<'_>) {
        if let Some(deliveries) = &self.deliveries {
            deliveries.send(target, attempt);
        }
    }
}

/// An incident that may occur for every event.
fn log_one_of_many(incident: &Incident<'_>) {
    match incident {
        Incident::AttemptFailed {
            target,
            task,
            id,
            others,
            attempt,
            outcome,
            follows,
            ..
        } => {
            let id = id.to_string();
            let others = Some(*others).filter(|others| *others > 0);
            let outcome = outcome.name();
            let (next_step, reason, retry_in_seconds) = name(*follows);
            tracing::warn!(
                target,
                task,
                id,
                others,
                attempt,
                outcome,
                next_step,
                reason,
                retry_in_seconds,
                "{incident}"
            );
        }
        Incident::NameResolved { host } => tracing::info!(host, "{incident}"),
        Incident::NameNotResolved { host, .. } => tracing::warn!(host, "{incident}"),
        Incident::QueueUnreadable { target, .. } => tracing::error!(target, "{incident}"),
        Incident::SenderNotStarted { target, .. } => tracing::error!(target, "{incident}"),
        Incident::NotAccepted { .. } => tracing::error!("{incident}"),
        _ => tracing::warn!("{incident}"),
    }
}

/// The name of the next step, its reason, and the seconds until a retry.
fn name(next: NextStep) -> (&'static str, Option<&'static str>, Option<f64>) {
    match next {
        NextStep::Retry(wait) => ("retry", None, Some(wait.as_secs_f64())),
        NextStep::DeadLetter(reason) => ("dead-letter", Some(reason.name()), None),
        NextStep::Nothing => ("nothing", None, None),
        NextStep::Stop => ("stop", None, None),
        _ => ("unknown", None, None),
    }
}
