//! Figures of the queue.

use super::family::{Families, Samples};
use super::shared;
use crate::daemon::{Daemon, Snapshot};
use webhook_config::Delivery;
use webhook_queue::{Statistics, TargetStatistics, WriterStatistics};

/// A metric's name, its help, and its value for a target.
type Figure = (&'static str, &'static str, fn(&TargetStatistics) -> u64);

pub(super) fn add(families: &mut Families, daemon: &Daemon, snapshot: &Snapshot) {
    let Some(writer) = &snapshot.writer else {
        // There is no queue.
        return;
    };
    if snapshot.unreadable.is_none() {
        add_content(families, &snapshot.stats.queue);
        add_removed(families, daemon, &snapshot.stats.queue);
        if let Some(shared) = &snapshot.stats.queue.shared {
            shared::add(families, shared, writer.fenced);
        }
    }
    let failing = snapshot.commit_failure.is_some() || snapshot.unusable.is_some();
    add_writer(families, writer, failing);
}

fn add_content(families: &mut Families, queue: &Statistics) {
    for (name, help, value) in [
        ("webhookd_queue_bytes", "Bytes in use.", queue.bytes),
        (
            "webhookd_queue_max_bytes",
            "Bytes that may be in use.",
            queue.max_bytes,
        ),
        (
            "webhookd_queue_usable_bytes",
            "Bytes in use up to which events are stored; the rest is left for settling them.",
            queue.usable_bytes,
        ),
        ("webhookd_queue_events", "Events stored.", queue.events),
        (
            "webhookd_queue_quarantined_records",
            "Damaged records: they are kept, and cannot be delivered.",
            queue.corrupt,
        ),
    ] {
        families.gauge(name, help, Samples::one(value as f64));
    }
    let figures: [Figure; 5] = [
        (
            "webhookd_queue_dead_letters",
            "Dead letters in the queue, also of removed targets.",
            |target| target.dead,
        ),
        (
            "webhookd_queue_dead_letter_bytes",
            "Bytes that dead letters take, also those of removed targets.",
            |target| target.dead_bytes,
        ),
        (
            "webhookd_queue_owed_bytes",
            "Bytes that events owed to a target take, also to removed targets.",
            |target| target.owed_bytes,
        ),
        (
            "webhookd_kept_events",
            "Deliveries that are kept, to be sent again if need be.",
            |target| target.kept,
        ),
        (
            "webhookd_kept_bytes",
            "Bytes that kept deliveries take.",
            |target| target.kept_bytes,
        ),
    ];
    for (name, help, figure) in figures {
        let mut samples = Samples::default();
        for target in &queue.targets {
            samples.value(&[("target", &target.target)], figure(target) as f64);
        }
        families.gauge(name, help, samples);
    }
}

fn add_removed(families: &mut Families, daemon: &Daemon, queue: &Statistics) {
    let config = daemon.control.config();
    let mut removed = Samples::default();
    for target in &queue.targets {
        let mut known = config.targets().iter();
        let is_owed = known.any(|known| {
            known.name().as_str() == target.target && known.delivery() == Delivery::Reliable
        });
        if !is_owed {
            removed.value(&[("target", &target.target)], target.pending as f64);
        }
    }
    families.gauge(
        "webhookd_queue_removed_target_events",
        "Events owed to a target that is no longer in the configuration.",
        removed,
    );
}

fn add_writer(families: &mut Families, writer: &WriterStatistics, failing: bool) {
    for (name, help, value) in [
        (
            "webhookd_queue_stored_events_total",
            "Events that were committed.",
            writer.events,
        ),
        (
            "webhookd_queue_refused_events_total",
            "Events that were not stored, since there was no room or the commit failed.",
            writer.refused,
        ),
        (
            "webhookd_queue_settlements_total",
            "Settlements that were committed.",
            writer.settlements,
        ),
        (
            "webhookd_queue_commit_failures_total",
            "Commits that failed, except for lack of room in the queue.",
            writer.failures,
        ),
    ] {
        families.counter(name, help, Samples::one(value as f64));
    }
    for (name, help, value) in [
        (
            "webhookd_queue_waiting_events",
            "Events that wait for the queue's writer.",
            writer.waiting_events as f64,
        ),
        (
            "webhookd_queue_waiting_settlements",
            "Settlements that wait for the queue's writer.",
            writer.waiting_settlements as f64,
        ),
        (
            "webhookd_queue_blocked",
            "Whether events wait for room in the queue.",
            f64::from(u8::from(writer.blocked)),
        ),
        (
            "webhookd_queue_failing",
            "Whether commits fail, or the queue takes no events.",
            f64::from(u8::from(failing)),
        ),
    ] {
        families.gauge(name, help, Samples::one(value));
    }
    let mut times = Samples::default();
    // From 64 microseconds to 17 seconds.
    times.distribution(&writer.commit_micros, (6, 24), 0.0, 1e-6);
    families.histogram(
        "webhookd_queue_commit_duration_seconds",
        "Duration of commits, with their syncs.",
        times,
    );
    let mut sizes = Samples::default();
    sizes.distribution(&writer.group_size, (1, 11), 1.0, 1.0);
    families.histogram(
        "webhookd_queue_commit_size",
        "Events and settlements per commit.",
        sizes,
    );
}
