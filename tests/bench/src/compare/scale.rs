//! How the cost of an event grows: with targets, tasks, backlog, bodies, the receiver's latency.

use super::TASKS;
use super::drain::Backlog;
use super::results::{Dimension, Point, Sample};
use super::senders;
use super::session::{Session, Task, write_events};
use anyhow::Result;
use std::sync::Arc;
use testkit::load::Load;

/// Points of all dimensions.
pub(super) const STEPS: u64 = 33;

/// A scale measurement in progress.
pub(super) struct Scale<'a> {
    pub(super) session: &'a mut Session,
    pub(super) quick: bool,
    /// Times that each point is measured; the one with the middle processor time counts.
    pub(super) rounds: u32,
    /// The backlog whose drain has been measured, and its sample.
    pub(super) drained: Option<(u64, Sample)>,
    /// Prints each point.
    pub(super) tell: &'a mut dyn FnMut(&str),
}

/// What is delivered at one point.
#[derive(Clone)]
struct Shape {
    n: f64,
    beside: Option<f64>,
    load: Arc<Load>,
    events: u64,
    tasks: u32,
    targets: u64,
    delay_ms: u64,
    concurrency: usize,
}

impl Scale<'_> {
    /// All dimensions.
    pub(super) fn measure(&mut self) -> Result<Vec<Dimension>> {
        let (quick, usual) = (self.quick, self.usual());
        let pick = |quickly: u64, wholly: u64| if quick { quickly } else { wholly };
        let mut dimensions = Vec::new();

        let shapes = [1, 10, 100, 1_000].map(|targets| Shape {
            n: targets as f64,
            events: pick(10_000, 60_000) / targets,
            targets,
            concurrency: if targets == 1 { usual.concurrency } else { 2 },
            ..usual.clone()
        });
        let what = "Each event goes to every target; the cost is that of one delivery. With one \
                    target it has the usual senders, with more each has two.";
        dimensions.push(self.dimension("targets", what, &shapes)?);

        let small = Arc::new(Load::of_size(350));
        let powers = 0..=if quick { 4 } else { 6 };
        let shapes: Vec<_> = powers
            .map(|power| {
                let tasks = 10_u32.pow(power);
                Shape {
                    n: tasks.into(),
                    load: Arc::clone(&small),
                    events: u64::from(tasks).max(pick(5_000, 50_000)),
                    tasks,
                    ..usual.clone()
                }
            })
            .collect();
        let what = "Events of 350 bytes, of so many tasks in turns. One task has one request under \
                    way at a time, whatever the concurrency: its rate is that of one round trip.";
        dimensions.push(self.dimension("tasks", what, &shapes)?);

        let live = Shape {
            events: pick(5_000, 60_000),
            ..usual.clone()
        };
        let what = "Events that are pending in the queue when webhookd starts, delivered from \
                    disk; 0 is events that are delivered as they come.";
        let mut backlog = self.dimension("backlog", what, &[live])?;
        let sizes = [1_000, 10_000, 100_000, 1_000_000];
        for &events in if quick { &sizes[..2] } else { &sizes[1..] } {
            let sample = match self.drained {
                Some((count, sample)) if count == events => sample,
                _ => Backlog::fill(self.session, events)?.drain(self.session)?,
            };
            (self.tell)(&format!("backlog {events}: {:.0} events/s", sample.rate));
            let n = events as f64;
            let beside = None;
            backlog.points.push(Point { n, beside, sample });
        }
        dimensions.push(backlog);

        let shapes = [350, 1_000, 3_500, 10_000, 100_000, 1_000_000].map(|bytes| Shape {
            n: bytes as f64,
            load: Arc::new(Load::of_size(bytes)),
            events: (pick(40 << 20, 300 << 20) / bytes as u64).clamp(20, pick(5_000, 60_000)),
            ..usual.clone()
        });
        dimensions.push(self.dimension("bodies", "Bytes of each event's body.", &shapes)?);

        let mut shapes = Vec::new();
        for delay_ms in [0, 5, 50] {
            for concurrency in [8, 64, 256, 1_024] {
                let most = match delay_ms {
                    0 => 20_000,
                    _ => (concurrency as u64 * 1_000 / delay_ms).min(20_000),
                };
                shapes.push(Shape {
                    n: concurrency as f64,
                    beside: Some(delay_ms as f64),
                    events: most * pick(1, 4) / 2,
                    delay_ms,
                    concurrency,
                    ..usual.clone()
                });
            }
        }
        let what = "Requests under way at once, at most, to a receiver that takes its time for \
                    each answer.";
        dimensions.push(self.dimension("concurrency", what, &shapes)?);
        Ok(dimensions)
    }

    fn usual(&self) -> Shape {
        Shape {
            n: 0.0,
            beside: None,
            load: Arc::new(Load::real()),
            events: 0,
            tasks: TASKS,
            targets: 1,
            delay_ms: 0,
            concurrency: self.session.threads,
        }
    }

    fn dimension(&mut self, name: &str, what: &str, shapes: &[Shape]) -> Result<Dimension> {
        let points = shapes.iter().map(|shape| self.point(shape));
        Ok(Dimension {
            points: points.collect::<Result<_>>()?,
            name: name.to_owned(),
            what: what.to_owned(),
        })
    }

    fn point(&mut self, shape: &Shape) -> Result<Point> {
        let folder = self.session.subfolder()?;
        let file = folder.path().join("events.ndjson");
        write_events(&file, &shape.load, shape.events, shape.tasks)?;
        let config = senders::targets(self.session, shape.targets, shape.concurrency);
        let mut samples = Vec::new();
        for _ in 0..self.rounds {
            let own = self.session.subfolder()?;
            let sender = self.session.webhookd(own.path(), &config, Some(&file))?;
            let task = Task {
                events: shape.events * shape.targets,
                body: shape.load.size(),
                delay_ms: shape.delay_ms,
                ..Task::default()
            };
            samples.push(self.session.measure(sender, task)?);
        }
        let (sample, &Shape { n, beside, .. }) = (middle(samples), shape);
        let at = beside.map_or(String::new(), |ms| format!(" at {ms} ms"));
        (self.tell)(&format!(
            "{n}{at}: {:.0} deliveries/s, {:.1} us of processor each, {:.1} MiB",
            sample.rate, sample.sender_us, sample.peak_mib
        ));
        Ok(Point { n, beside, sample })
    }
}

/// The sample with the middle processor time.
pub(super) fn middle(mut samples: Vec<Sample>) -> Sample {
    samples.sort_by(|one, other| one.sender_us.total_cmp(&other.sender_us));
    let middle = samples.len() / 2;
    samples.get(middle).copied().unwrap_or_default()
}
