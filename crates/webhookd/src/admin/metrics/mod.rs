//! `/metrics`: all figures in Prometheus's text format, from one snapshot. Nothing is counted here,
//! so a scrape does not delay deliveries.

mod family;
mod program;
mod queue;
mod shared;
mod streams;
mod targets;

use super::answer::blocking;
use super::problem::Problem;
use crate::daemon::{Daemon, Snapshot};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use family::Families;
use prometheus::proto::MetricFamily;
use prometheus::{TEXT_FORMAT, TextEncoder};
use std::sync::Arc;

/// Responds to Prometheus.
pub(super) async fn answer(
    State(daemon): State<Arc<Daemon>>,
) -> Result<impl IntoResponse, Problem> {
    let text = blocking(move || encode(&daemon, &daemon.snapshot())).await?;
    let text = text.map_err(|error| Problem::failed(&error))?;
    let kind: [(HeaderName, HeaderValue); 1] =
        [(header::CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT))];
    Ok((kind, text))
}

fn encode(daemon: &Daemon, snapshot: &Snapshot) -> prometheus::Result<String> {
    let mut families = gather(daemon, snapshot);
    families.sort_by(|a, b| a.name().cmp(b.name()));
    TextEncoder::new().encode_to_string(&families)
}

/// All families.
pub(super) fn gather(daemon: &Daemon, snapshot: &Snapshot) -> Vec<MetricFamily> {
    let mut families = Families::default();
    targets::add(&mut families, &snapshot.stats);
    queue::add(&mut families, daemon, snapshot);
    program::add(&mut families, daemon, snapshot);
    streams::add(&mut families, daemon);
    families.finish()
}

/// A family of gauges, with the labels of each.
#[cfg(test)]
pub(super) fn gauge(name: &str, samples: &[(&[(&str, &str)], f64)]) -> MetricFamily {
    let mut found = family::Samples::default();
    for (labels, value) in samples {
        found.value(labels, *value);
    }
    let mut families = Families::default();
    families.gauge(name, "A figure.", found);
    families.finish().remove(0)
}
