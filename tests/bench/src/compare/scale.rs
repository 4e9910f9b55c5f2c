//! How the cost of an event grows: with targets, tasks, backlog, bodies, the receiver's latency.

use super::TASKS;
use super::drain::Backlog;
use super::part::Part;
use super::results::{Dimension, Point, Sample};
use super::senders;
use super::session::{Session, Task, write_events};
use anyhow::Result;
use serde_json::{Value, json};
use testkit::load::Load;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) quick: bool,
    /// Times that each point is measured; the one with the middle rate counts.
    pub(super) rounds: u32,
}

/// What is delivered at one point.
struct Shape<'a> {
    load: &'a Load,
    events: u64,
    tasks: u32,
    targets: u64,
    delay_ms: u64,
    concurrency: usize,
}

/// Points of all dimensions.
pub(super) const STEPS: u64 = 33;

/// Tells how far it is.
pub(super) type Tell<'a> = &'a mut dyn FnMut(&str);

/// All dimensions. The longest backlog is drained already if a rate was measured with it.
pub(super) fn measure(
    session: &mut Session,
    extent: Extent,
    drained: Option<(u64, Sample)>,
    tell: Tell<'_>,
) -> Result<Vec<Dimension>> {
    Ok(vec![
        targets(session, extent, tell)?,
        tasks(session, extent, tell)?,
        backlog(session, extent, drained, tell)?,
        bodies(session, extent, tell)?,
        latency(session, extent, tell)?,
    ])
}

fn targets(session: &mut Session, extent: Extent, tell: Tell<'_>) -> Result<Dimension> {
    let load = Load::real();
    let deliveries = if extent.quick { 10_000 } else { 60_000 };
    let mut points = Vec::new();
    for targets in [1, 10, 100, 1_000] {
        let shape = Shape {
            events: deliveries / targets,
            targets,
            concurrency: if targets == 1 { session.threads } else { 2 },
            ..Shape::usual(session, &load)
        };
        points.push(point(session, extent, targets as f64, None, &shape, tell)?);
    }
    Ok(Dimension {
        name: "targets".to_owned(),
        what: "Each event goes to every target; the cost is that of one delivery. With one target \
               it has the usual senders, with more each has two."
            .to_owned(),
        points,
    })
}

fn tasks(session: &mut Session, extent: Extent, tell: Tell<'_>) -> Result<Dimension> {
    let load = Load::of_size(350);
    let (most, least) = if extent.quick {
        (10_000, 5_000)
    } else {
        (1_000_000, 50_000)
    };
    let mut points = Vec::new();
    for power in 0..=6 {
        let tasks = 10_u32.pow(power);
        if tasks > most {
            break;
        }
        let shape = Shape {
            events: u64::from(tasks).max(least),
            tasks,
            ..Shape::usual(session, &load)
        };
        points.push(point(session, extent, tasks.into(), None, &shape, tell)?);
    }
    Ok(Dimension {
        name: "tasks".to_owned(),
        what: "Events of 350 bytes, of so many tasks in turns. One task has one request under \
               way at a time, whatever the concurrency: its rate is that of one round trip."
            .to_owned(),
        points,
    })
}

fn backlog(
    session: &mut Session,
    extent: Extent,
    drained: Option<(u64, Sample)>,
    tell: Tell<'_>,
) -> Result<Dimension> {
    let load = Load::real();
    let sizes: &[u64] = if extent.quick {
        &[1_000, 10_000]
    } else {
        &[10_000, 100_000, 1_000_000]
    };
    let live = Shape {
        events: if extent.quick { 5_000 } else { 60_000 },
        ..Shape::usual(session, &load)
    };
    let mut points = vec![point(session, extent, 0.0, None, &live, tell)?];
    for &events in sizes {
        let known = drained.filter(|(count, _)| *count == events);
        let sample = match known {
            Some((_, sample)) => sample,
            None => Backlog::fill(session, events)?.drain(session)?,
        };
        tell(&format!("backlog {events}: {:.0} events/s", sample.rate));
        points.push(Point {
            n: events as f64,
            beside: None,
            sample,
        });
    }
    Ok(Dimension {
        name: "backlog".to_owned(),
        what: "Events that lie in the queue when webhookd starts, delivered from disk; 0 is \
               events that are delivered as they come."
            .to_owned(),
        points,
    })
}

fn bodies(session: &mut Session, extent: Extent, tell: Tell<'_>) -> Result<Dimension> {
    let most: u64 = if extent.quick { 40 << 20 } else { 300 << 20 };
    let mut points = Vec::new();
    for bytes in [350, 1_000, 3_500, 10_000, 100_000, 1_000_000] {
        let load = Load::of_size(bytes);
        let cap = if extent.quick { 5_000 } else { 60_000 };
        let shape = Shape {
            events: (most / bytes as u64).clamp(20, cap),
            ..Shape::usual(session, &load)
        };
        points.push(point(session, extent, bytes as f64, None, &shape, tell)?);
    }
    Ok(Dimension {
        name: "bodies".to_owned(),
        what: "Bytes of each event's body.".to_owned(),
        points,
    })
}

fn latency(session: &mut Session, extent: Extent, tell: Tell<'_>) -> Result<Dimension> {
    let load = Load::real();
    let seconds = if extent.quick { 0.5 } else { 2.0 };
    let mut points = Vec::new();
    for delay_ms in [0, 5, 50] {
        for concurrency in [8, 64, 256, 1_024] {
            let most = match delay_ms {
                0 => 20_000.0,
                _ => (concurrency as f64 * 1_000.0 / delay_ms as f64).min(20_000.0),
            };
            let shape = Shape {
                events: (most * seconds) as u64,
                delay_ms,
                concurrency,
                ..Shape::usual(session, &load)
            };
            let beside = Some(delay_ms as f64);
            points.push(point(
                session,
                extent,
                concurrency as f64,
                beside,
                &shape,
                tell,
            )?);
        }
    }
    Ok(Dimension {
        name: "concurrency".to_owned(),
        what: "Requests under way at once, at most, to a receiver that takes its time for each \
               answer."
            .to_owned(),
        points,
    })
}

impl<'a> Shape<'a> {
    fn usual(session: &Session, load: &'a Load) -> Shape<'a> {
        Shape {
            load,
            events: 0,
            tasks: TASKS,
            targets: 1,
            delay_ms: 0,
            concurrency: session.threads,
        }
    }

    fn config(&self, session: &Session) -> Value {
        let one = senders::config(session, Part::Durable);
        let url = &session.receiver.url;
        let targets = (0..self.targets).map(|number| {
            let mut target = one.clone();
            target["name"] = format!("t{number}").into();
            target["targetURL"] = format!("{url}t{number}").into();
            target["concurrency"] = self.concurrency.into();
            target
        });
        json!({ "targets": targets.collect::<Vec<_>>() })
    }
}

fn point(
    session: &mut Session,
    extent: Extent,
    n: f64,
    beside: Option<f64>,
    shape: &Shape<'_>,
    tell: Tell<'_>,
) -> Result<Point> {
    let folder = session.subfolder()?;
    let file = folder.path().join("events.ndjson");
    write_events(&file, shape.load, shape.events, shape.tasks)?;
    let mut samples = Vec::new();
    for _ in 0..extent.rounds {
        let own = session.subfolder()?;
        let config = shape.config(session);
        let sender = session.webhookd(own.path(), &config, Some(&file))?;
        samples.push(session.measure(
            sender,
            Task {
                requests: shape.events * shape.targets,
                body: shape.load.size(),
                delay_ms: shape.delay_ms,
                ..Task::default()
            },
        )?);
    }
    samples.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    let sample = samples[samples.len() / 2];
    let beside_text = beside.map_or(String::new(), |ms| format!(" at {ms} ms"));
    tell(&format!(
        "{n}{beside_text}: {:.0} deliveries/s, {:.1} us of processor each, {:.1} MiB",
        sample.rate, sample.sender_us, sample.peak_mib
    ));
    Ok(Point { n, beside, sample })
}
