//! Rates, with and without a held xmin, and latencies at half of them.

use super::machinery::{Bench, Load, Plan};
use super::results::{QueueKind, Results};
use super::{PostgresArgs, announce, contestants};
use anyhow::Result;

/// The number of workers in comparisons.
pub(super) const PAIR: u32 = 2;
/// Events of single rows: they are slow.
const SINGLE_ROWS: u32 = 20;
/// Seconds that latencies are measured for.
const LATENCY_SECONDS: f64 = 10.0;
/// Events a second where the rate was not measured.
const USUAL_RATE: f64 = 5_000.0;

/// Measures all in turns, in the opposite order in every other round.
pub(super) fn rates(bench: &mut Bench, args: &PostgresArgs, results: &mut Results) -> Result<()> {
    for round in 0..args.rounds() {
        let mut all = contestants(args);
        if round % 2 == 1 {
            all.reverse();
        }
        for (kind, workers) in all {
            let sample = bench.measure(plan(args, kind, workers))?;
            announce(&format!("  {:.0} events/s", sample.rate));
            results.samples.push(sample);
        }
    }
    Ok(())
}

fn plan(args: &PostgresArgs, kind: QueueKind, workers: u32) -> Plan {
    let events = match kind {
        QueueKind::SkipLocked1 => args.events() * SINGLE_ROWS / 100,
        _ => args.events(),
    };
    Plan {
        kind,
        workers,
        holds_xmin: false,
        load: Load {
            events,
            batch: args.batch,
            rate: None,
        },
    }
}

/// Measures two workers of each kind while a transaction holds xmin.
pub(super) fn held_xmin(
    bench: &mut Bench,
    args: &PostgresArgs,
    results: &mut Results,
) -> Result<()> {
    for _ in 0..args.rounds() {
        let mut kinds = vec![QueueKind::Postgres, QueueKind::SkipLocked64];
        kinds.retain(|kind| args.uses(*kind));
        for kind in kinds {
            let plan = Plan {
                holds_xmin: true,
                ..plan(args, kind, PAIR)
            };
            let sample = bench.measure(plan)?;
            announce(&format!("  {:.0} events/s with xmin held", sample.rate));
            results.samples.push(sample);
        }
    }
    Ok(())
}

/// Measures latencies at half the rate of each.
pub(super) fn latencies(
    bench: &mut Bench,
    args: &PostgresArgs,
    results: &mut Results,
) -> Result<()> {
    for _ in 0..args.rounds() {
        let mut all = vec![
            (QueueKind::Embedded, 1),
            (QueueKind::Postgres, PAIR),
            (QueueKind::SkipLocked64, PAIR),
        ];
        all.retain(|(kind, _)| args.uses(*kind));
        for (kind, workers) in all {
            let measured = results.rate((kind, workers, false, false));
            let rate = measured.map_or(USUAL_RATE, |rate| rate / 2.0);
            let seconds = if args.quick { 3.0 } else { LATENCY_SECONDS };
            let load = Load {
                events: (rate * seconds) as u32,
                batch: args.latency_batch,
                rate: Some(rate),
            };
            let plan = Plan {
                load,
                ..plan(args, kind, workers)
            };
            results.samples.push(bench.measure(plan)?);
        }
    }
    Ok(())
}
