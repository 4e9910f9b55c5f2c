//! The tables, and the aims.

use super::rates::PAIR;
use super::results::{Group, QueueKind, Results, Sample};
use crate::figures::{Bound, Figures};

/// The tables, in Markdown.
pub(crate) fn tables(results: &Results) -> String {
    let mut text = String::from(
        "\n| queue | workers | events/s | µs an event: workers | PostgreSQL | receiver | load \
         generator | WAL bytes | dead tuples for 1,000 | statements | commits | other load, % |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let groups = results.groups();
    for group in groups.iter().filter(|group| !group.3) {
        text.push_str(&rate_row(results, *group));
    }
    if let Some(drain) = &results.drain {
        let Sample {
            events,
            rate,
            workers_us,
            server_us,
            receiver_us,
            other_load,
            ..
        } = drain;
        text.push_str(&format!(
            "| {}, backlog of {events} | {} | {rate:.0} | {workers_us:.0} | {server_us:.0} | \
             {receiver_us:.0} | | | | | | {other_load:.0} |\n",
            drain.queue.title(),
            drain.workers
        ));
    }
    if !groups.iter().any(|group| group.3) {
        return text;
    }
    text.push_str(
        "\n| at half the rate | workers | events/s | accept p50 ms | p99 | delivery p50 ms | p99 \
         |\n|---|---|---|---|---|---|---|\n",
    );
    for group in groups.iter().filter(|group| group.3) {
        text.push_str(&latency_row(results, *group));
    }
    text
}

fn rate_row(results: &Results, group: Group) -> String {
    let (kind, workers, held, _) = group;
    let figure = |pick: fn(&Sample) -> f64| results.median(group, pick).unwrap_or(f64::NAN);
    let [wal, dead, statements, commits] = [
        results.counted(group, |counts| counts.wal_bytes),
        results.counted(group, |counts| counts.dead_tuples * 1_000.0),
        results.counted(group, |counts| counts.statements),
        results.counted(group, |counts| counts.commits),
    ]
    .map(|value| match value {
        Some(value) if value.is_finite() => format!("{value:.0}"),
        _ => "–".to_owned(),
    });
    format!(
        "| {}{} | {workers} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {wal} | {dead} | \
         {statements} | {commits} | {:.0} |\n",
        kind.title(),
        if held { ", xmin held" } else { "" },
        figure(|sample| sample.rate),
        figure(|sample| sample.workers_us),
        figure(|sample| sample.server_us),
        figure(|sample| sample.receiver_us),
        figure(|sample| sample.feeder_us),
        figure(|sample| sample.other_load),
    )
}

fn latency_row(results: &Results, group: Group) -> String {
    let (kind, workers, ..) = group;
    let figure = |pick: fn(&Sample) -> f64| results.median(group, pick).unwrap_or(f64::NAN);
    format!(
        "| {} | {workers} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} |\n",
        kind.title(),
        figure(|sample| sample.offered.unwrap_or(0.0)),
        figure(|sample| f64::from(sample.accept_us[0]) / 1e3),
        figure(|sample| f64::from(sample.accept_us[2]) / 1e3),
        figure(|sample| f64::from(sample.deliver_us[0]) / 1e3),
        figure(|sample| f64::from(sample.deliver_us[2]) / 1e3),
    )
}

/// The aims of what was measured, and what was broken.
pub(super) fn figures(results: &Results) -> Figures {
    let mut figures = Figures::default();
    let samples = results.samples.iter().chain(&results.drain);
    figures.faults(samples.flat_map(Sample::faults));
    let ours = (QueueKind::Postgres, PAIR, false, false);
    let best = results.groups().into_iter();
    let best = best
        .filter(|(kind, _, held, paced)| *kind == QueueKind::Postgres && !held && !paced)
        .filter_map(|group| results.rate(group))
        .reduce(f64::max);
    let mut aim = |name: &str, value: Option<f64>, bound, unit: &str| {
        if let Some(value) = value {
            figures.aim(name, value, bound, unit);
        }
    };
    aim("deliveries", best, Bound::AtLeast(10_000.0), "/s");
    for (name, of, to, least) in [
        (
            "rate to that of SKIP LOCKED, 64 rows",
            false,
            QueueKind::SkipLocked64,
            1.3,
        ),
        (
            "the same with xmin held",
            true,
            QueueKind::SkipLocked64,
            4.0,
        ),
        (
            "rate to that of SKIP LOCKED, single rows",
            false,
            QueueKind::SkipLocked1,
            8.0,
        ),
    ] {
        let rates = results
            .rate((QueueKind::Postgres, PAIR, of, false))
            .zip(results.rate((to, PAIR, of, false)));
        aim(
            name,
            rates.map(|(of, to)| of / to),
            Bound::AtLeast(least),
            "",
        );
    }
    let counted = |pick| results.counted(ours, pick);
    let most = Bound::AtMost;
    let statements = counted(|counts| counts.statements);
    aim("statements for 1,000 events", statements, most(20.0), "");
    let dead = counted(|counts| counts.dead_tuples * 1_000.0);
    aim("dead tuples for 1,000 events", dead, most(10.0), "");
    aim(
        "WAL of an event",
        counted(|counts| counts.wal_bytes),
        most(2_600.0),
        " bytes",
    );
    let paced = (QueueKind::Postgres, PAIR, false, true);
    let accept = results.median(paced, |sample| f64::from(sample.accept_us[0]) / 1e3);
    aim("accept p50", accept, most(5.0), " ms");
    let deliver = results.median(paced, |sample| f64::from(sample.deliver_us[0]) / 1e3);
    aim("request to delivery p50", deliver, most(10.0), " ms");
    let takeover = results.takeover_ms.map(|longest| longest / 1e3);
    aim("takeover", takeover, most(6.0), " s");
    let drain = results.drain.as_ref().map(|drain| drain.rate);
    let to_live = drain
        .zip(results.rate(ours))
        .map(|(drain, live)| drain / live);
    aim("drain to live rate", to_live, Bound::AtLeast(1.0), "");
    figures
}
