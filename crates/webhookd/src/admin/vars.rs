//! `/vars` and `/vars.json`, as in Aurora's scheduler: names in lower case with underscores, which
//! include the target's name.

use super::answer::{Json, blocking};
use super::problem::Problem;
use super::states::breaker_name;
use crate::daemon::{Daemon, Snapshot};
use axum::extract::{RawQuery, State};
use axum::response::IntoResponse;
use serde_json::{Value, json as value};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use webhook_dispatch::{Latencies, TargetStats};

/// One `name value` per line.
pub(super) async fn text(State(daemon): State<Arc<Daemon>>) -> Result<String, Problem> {
    let vars = collect(daemon).await?;
    let mut text = String::new();
    for (name, value) in vars {
        let value = match value {
            Value::String(value) => value,
            value => value.to_string(),
        };
        writeln!(text, "{name} {value}").expect("writing to a String cannot fail");
    }
    Ok(text)
}

/// One flat object; indented if the query has `pretty`.
pub(super) async fn json(
    State(daemon): State<Arc<Daemon>>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Problem> {
    let vars = collect(daemon).await?;
    let query = query.unwrap_or_default();
    let pretty = query
        .split('&')
        .any(|part| part == "pretty" || part.starts_with("pretty="));
    Ok(Json {
        value: vars,
        pretty,
    })
}

async fn collect(daemon: Arc<Daemon>) -> Result<BTreeMap<String, Value>, Problem> {
    blocking(move || vars(&daemon, &daemon.snapshot())).await
}

fn vars(daemon: &Daemon, snapshot: &Snapshot) -> BTreeMap<String, Value> {
    let mut vars = BTreeMap::new();
    let mut put = |name: String, value: Value| {
        vars.insert(name, value);
    };
    for (name, count) in snapshot.stats.aurora_counters().named() {
        put(name.to_owned(), count.into());
    }
    let read = daemon.input.counts();
    put("webhookd_intake_events".into(), read.events.into());
    put(
        "webhookd_intake_rejected".into(),
        (read.rejected + read.rejected_http).into(),
    );
    put(
        "webhookd_intake_unauthorized".into(),
        read.unauthorized.into(),
    );
    put("webhookd_intake_refused".into(), read.refused.into());
    put("webhookd_follow_gaps".into(), daemon.input.gaps().0.into());
    let queue = &snapshot.stats.queue;
    put("webhookd_queue_bytes".into(), queue.bytes.into());
    put("webhookd_queue_max_bytes".into(), queue.max_bytes.into());
    put(
        "webhookd_queue_usable_bytes".into(),
        queue.usable_bytes.into(),
    );
    put("webhookd_queue_events".into(), queue.events.into());
    put("webhookd_queue_quarantined".into(), queue.corrupt.into());
    if let Some(writer) = &snapshot.writer {
        let commits = &writer.commit_micros;
        put("webhookd_queue_commits".into(), commits.count.into());
        put(
            "webhookd_queue_commit_micros_total".into(),
            commits.sum.into(),
        );
        put(
            "webhookd_queue_commit_failures".into(),
            writer.failures.into(),
        );
    }
    let ready = u8::from(snapshot.health.is_ready());
    put("webhookd_ready".into(), ready.into());
    let reloads = daemon.reloader.state();
    put("webhookd_config_reloads".into(), reloads.reloads.into());
    let failures = reloads.failures;
    put("webhookd_config_reload_failures".into(), failures.into());
    let uptime = daemon.uptime().as_secs();
    put("webhookd_uptime_secs".into(), uptime.into());
    put("webhookd_version".into(), env!("CARGO_PKG_VERSION").into());
    for target in &snapshot.stats.targets {
        put_target(&mut put, target);
    }
    vars
}

fn put_target(put: &mut impl FnMut(String, Value), target: &TargetStats) {
    let name = |what: &str| format!("webhookd_target_{}_{what}", target.name);
    for (what, count) in [
        ("accepted", target.accepted),
        ("filtered", target.filtered),
        ("delivered", target.delivered),
        ("retried", target.retried),
        ("failed", target.failed),
        ("dropped", target.dropped),
        ("dead_letters", target.dead_letters()),
        ("pending", target.pending),
        ("in_flight", target.in_flight),
        ("waiting_tasks", target.waiting_tasks),
    ] {
        put(name(what), count.into());
    }
    for (outcome, count) in &target.attempts {
        put(
            name(&format!("attempts_{}", outcome.name())),
            (*count).into(),
        );
    }
    let age = target.oldest_pending_age.unwrap_or_default();
    put(name("oldest_pending_age_secs"), value!(age.as_secs_f64()));
    let state = breaker_name(target.breaker);
    put(name("breaker"), state.into());
    put_times(put, &name("attempt"), &target.attempt_latency);
    put_times(put, &name("delivery"), &target.delivery_latency);
}

fn put_times(put: &mut impl FnMut(String, Value), name: &str, times: &Latencies) {
    put(format!("{name}_count"), times.count().into());
    for (suffix, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
        let ms = times.quantile(q).unwrap_or_default().as_secs_f64() * 1e3;
        put(format!("{name}_ms_{suffix}"), value!(ms));
    }
}
