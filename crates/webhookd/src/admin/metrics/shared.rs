//! Figures of a queue that several processes share.

use super::family::{Families, Samples};
use webhook_queue::SharedStatistics;

/// Adds what this process knows of the shared queue, and of itself. The figures of another worker
/// are in the metrics of that worker. `fenced` are the settlements of this process that were not
/// applied.
pub(super) fn add(families: &mut Families, shared: &SharedStatistics, fenced: u64) {
    let (used, segments) = shared.segments;
    let reachable = u8::from(shared.reachable);
    let synchronous = u8::from(shared.standbys.synchronous);
    for (name, help, value) in [
        (
            "webhookd_queue_database_reachable",
            "Whether the database of the queue can be reached.",
            f64::from(reachable),
        ),
        (
            "webhookd_queue_workers",
            "Processes that have a lease of the queue, this one included.",
            shared.workers.len() as f64,
        ),
        (
            "webhookd_queue_slots",
            "Slots that the keys are divided into.",
            f64::from(shared.slots),
        ),
        (
            "webhookd_queue_unclaimed_slots",
            "Slots that no worker has a claim to, so that their events wait.",
            f64::from(shared.unclaimed),
        ),
        (
            "webhookd_queue_segments",
            "Tables of the queue's log, which are used in turn.",
            f64::from(segments),
        ),
        (
            "webhookd_queue_segments_in_use",
            "Tables of the queue's log that hold events.",
            f64::from(used),
        ),
        (
            "webhookd_queue_dead_rows",
            "Dead rows in the queue's tables, as the database estimates.",
            shared.dead_rows as f64,
        ),
        (
            "webhookd_queue_oldest_transaction_age_seconds",
            "For how long the oldest transaction of the database has kept dead rows from being removed.",
            seconds(shared.oldest_transaction_ms),
        ),
        (
            "webhookd_queue_standbys",
            "Standbys that replicate the database.",
            f64::from(shared.standbys.count),
        ),
        (
            "webhookd_queue_synchronous_standby",
            "Whether a commit waits for a standby.",
            f64::from(synchronous),
        ),
    ] {
        families.gauge(name, help, Samples::one(value));
    }
    for (name, help, value) in [
        (
            "webhookd_queue_leases_lost_total",
            "How often this worker has lost its lease, and with it all its slots.",
            shared.leases_lost,
        ),
        (
            "webhookd_queue_fenced_settlements_total",
            "Settlements of this worker that were not applied, since another worker had the slot.",
            fenced,
        ),
        (
            "webhookd_queue_reconnects_total",
            "How often this worker had to connect to the database again.",
            shared.reconnects,
        ),
    ] {
        families.counter(name, help, Samples::one(value as f64));
    }
    add_this_worker(families, shared);
}

/// Adds the figures of this process. Without a lease it has no slots, and its lease has no age.
fn add_this_worker(families: &mut Families, shared: &SharedStatistics) {
    let this = shared.workers.iter().find(|worker| worker.is_this);
    families.gauge(
        "webhookd_queue_worker_slots",
        "Slots that this worker has a claim to.",
        Samples::one(this.map_or(0.0, |worker| f64::from(worker.slots))),
    );
    let Some(this) = this else {
        return;
    };
    families.gauge(
        "webhookd_queue_worker_lease_age_seconds",
        "Time since this worker's lease was renewed.",
        Samples::one(seconds(this.lease_age_ms)),
    );
    if let Some(age) = this.lag_ms {
        families.gauge(
            "webhookd_queue_worker_oldest_pending_age_seconds",
            "Age of the oldest event owed in this worker's slots; 0 if there is none.",
            Samples::one(seconds(age)),
        );
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;
    use webhook_queue::{Standbys, WorkerStatistics};

    fn text(shared: &SharedStatistics) -> String {
        let mut families = Families::default();
        add(&mut families, shared, 7);
        let text = TextEncoder::new().encode_to_string(&families.finish());
        text.unwrap()
    }

    fn value(text: &str, name: &str) -> Option<f64> {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    #[test]
    fn a_worker_exports_its_own_figures_and_those_of_the_database() {
        let worker = |id, is_this| WorkerStatistics {
            id,
            is_this,
            slots: 30 + id as u16,
            lease_age_ms: 200 + id,
            lag_ms: Some(1_500 + id),
            ..WorkerStatistics::default()
        };
        let mut shared = SharedStatistics {
            slots: 64,
            unclaimed: 1,
            workers: vec![worker(1, false), worker(2, true)],
            leases_lost: 3,
            reconnects: 4,
            reachable: true,
            segments: (2, 8),
            dead_rows: 10,
            oldest_transaction_ms: 2_500,
            standbys: Standbys {
                count: 1,
                synchronous: true,
            },
            ..SharedStatistics::default()
        };
        let found = text(&shared);
        for (name, expected) in [
            ("webhookd_queue_database_reachable", 1.0),
            ("webhookd_queue_workers", 2.0),
            ("webhookd_queue_slots", 64.0),
            ("webhookd_queue_unclaimed_slots", 1.0),
            ("webhookd_queue_segments", 8.0),
            ("webhookd_queue_segments_in_use", 2.0),
            ("webhookd_queue_dead_rows", 10.0),
            ("webhookd_queue_oldest_transaction_age_seconds", 2.5),
            ("webhookd_queue_standbys", 1.0),
            ("webhookd_queue_synchronous_standby", 1.0),
            ("webhookd_queue_leases_lost_total", 3.0),
            ("webhookd_queue_fenced_settlements_total", 7.0),
            ("webhookd_queue_reconnects_total", 4.0),
            ("webhookd_queue_worker_slots", 32.0),
            ("webhookd_queue_worker_lease_age_seconds", 0.202),
            ("webhookd_queue_worker_oldest_pending_age_seconds", 1.502),
        ] {
            let sample = format!("{name} ");
            assert_eq!(value(&found, &sample), Some(expected), "{name}:\n{found}");
        }
        // Without a lease.
        shared.workers.pop();
        let found = text(&shared);
        assert_eq!(value(&found, "webhookd_queue_worker_slots "), Some(0.0));
        assert!(!found.contains("lease_age"), "{found}");
    }
}
