//! The program's own figures: what came in, its configuration, its process.

use super::family::{Families, Samples};
use crate::daemon::{Daemon, Snapshot};
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// It keeps what it counted last, so there is one.
static PROCESS: LazyLock<ProcessCollector> = LazyLock::new(ProcessCollector::for_self);

pub(super) fn add(families: &mut Families, daemon: &Daemon, snapshot: &Snapshot) {
    add_intake(families, daemon);
    add_config(families, daemon);
    let mut build = Samples::default();
    build.value(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    families.gauge("webhookd_build_info", "The version that runs.", build);
    families.gauge(
        "webhookd_ready",
        "What /readyz says: whether events can be accepted now.",
        flag(snapshot.health.is_ready()),
    );
    families.add_all(PROCESS.collect());
}

fn add_intake(families: &mut Families, daemon: &Daemon) {
    let read = daemon.input.counts();
    for (name, help, value) in [
        (
            "webhookd_intake_events_total",
            "Events that came in.",
            read.events,
        ),
        (
            "webhookd_intake_rejected_total",
            "What came in and was no event.",
            read.rejected + read.rejected_http,
        ),
        (
            "webhookd_intake_refused_total",
            "Events that came in and that the queue did not take.",
            read.refused,
        ),
        (
            "webhookd_intake_bytes_total",
            "Bytes read by sources of lines.",
            daemon.input.bytes(),
        ),
    ] {
        families.counter(name, help, Samples::one(value as f64));
    }
}

fn add_config(families: &mut Families, daemon: &Daemon) {
    let state = daemon.reloader.state();
    let mut reloads = Samples::default();
    reloads.value(&[("result", "success")], state.reloads as f64);
    reloads.value(&[("result", "failure")], state.failures as f64);
    families.counter(
        "webhookd_config_reloads_total",
        "Reloads of the configuration, by what they came to.",
        reloads,
    );
    families.gauge(
        "webhookd_config_last_reload_successful",
        "Whether the configuration in force is that of the last load; 1 before the first reload.",
        flag(state.last != Some(false)),
    );
    families.gauge(
        "webhookd_config_last_load_success_timestamp_seconds",
        "When the configuration in force was loaded.",
        Samples::one(seconds(state.loaded_at)),
    );
    let mut info = Samples::default();
    info.value(&[("hash", &state.hash)], 1.0);
    families.gauge(
        "webhookd_config_info",
        "The SHA-256 of the file in force.",
        info,
    );
}

fn flag(is: bool) -> Samples {
    Samples::one(f64::from(u8::from(is)))
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
