//! How the cost of the HTTP ingest grows: with connections, and with tasks.

use super::ingest::{self, Feed, SINGLE};
use super::results::{Dimension, Point};
use super::scale::middle;
use super::session::Session;
use anyhow::Result;

/// Points of both dimensions.
pub(super) const STEPS: u64 = 8;

/// Measures each point so often.
pub(super) fn measure(
    session: &mut Session,
    quick: bool,
    rounds: u32,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<Dimension>> {
    let events = |wholly: u64| if quick { wholly / 10 } else { wholly };
    let mut dimension = |name: &str, what: &str, feeds: &[(f64, Feed, u64)]| {
        let points = feeds.iter().map(|&(n, feed, events)| {
            let samples = (0..rounds).map(|_| ingest::measure(session, feed, events));
            let sample = middle(samples.collect::<Result<_>>()?);
            tell(&format!(
                "{name} {n}: {:.0} events/s, {:.1} us of processor each, the feeder's {:.1}",
                sample.rate, sample.sender_us, sample.feeder_us
            ));
            let beside = None;
            Ok(Point { n, beside, sample })
        });
        Ok::<_, anyhow::Error>(Dimension {
            points: points.collect::<Result<_>>()?,
            name: name.to_owned(),
            what: what.to_owned(),
        })
    };
    let feeds = [(1, 3_000), (8, 20_000), (64, 60_000), (512, 60_000)];
    let feeds = feeds.map(|(connections, wholly)| {
        let feed = Feed {
            connections,
            ..SINGLE
        };
        (connections as f64, feed, events(wholly))
    });
    let what = "Connections that post one event in each request and wait for its answer, durable.";
    let connections = dimension("connections", what, &feeds)?;
    let feeds = [(1, 30_000), (10, 40_000), (100, 60_000), (1_000, 60_000)];
    let feeds = feeds.map(|(tasks, wholly)| {
        let feed = Feed { tasks, ..SINGLE };
        (f64::from(tasks), feed, events(wholly))
    });
    let what = "Events of so many tasks in turns, posted by 64 connections, one in each request, \
                durable. One task has one request under way at a time.";
    let tasks = dimension("ingest tasks", what, &feeds)?;
    Ok(vec![connections, tasks])
}
