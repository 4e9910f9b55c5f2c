//! Notifications to systemd (`sd_notify`). Without `NOTIFY_SOCKET` they do nothing.

use sd_notify::{NotifyState, notify};
use std::time::Duration;

/// The start or a reload is complete.
pub(crate) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The start takes up to this time longer.
pub(crate) fn starting(longer: Duration) {
    let longer = u32::try_from(longer.as_micros()).unwrap_or(u32::MAX);
    send(&[NotifyState::ExtendTimeoutUsec(longer)]);
}

/// A reload begins; [`ready`] ends it.
pub(crate) fn reloading() {
    // systemd needs the time to tell this message from earlier ones.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("cannot notify systemd of a reload: {error}"),
    }
}

/// The shutdown begins.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// The program is alive, for the watchdog; `systemctl status` shows a one-line health summary.
pub(crate) fn alive(status: &str) {
    send(&[NotifyState::Watchdog, NotifyState::Status(status)]);
}

/// Changes the line that `systemctl status` shows.
pub(crate) fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::warn!("cannot notify systemd: {error}");
    }
}
