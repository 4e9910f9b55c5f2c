//! `docs/benchmarks.md` and its plots, written from what was measured. Sections between
//! `<!-- kept: NAME -->` and `<!-- /kept -->` are written by people, and are kept as they are.

use super::aims::aims;
use super::part::Part;
use super::plot::{Bar, Line, bars, lines};
use super::results::{Dimension, Point, Results, Sample};
use super::statistics::{Spread, exponent, growth, shown};
use crate::postgres;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

const TEMPLATE: &str = include_str!("template.md");
const KEPT: &str = "<!-- kept: ";
const END: &str = "<!-- /kept -->";

/// Writes the document and its plots into a folder; where the document is.
pub(super) fn write(out: &Path, results: &Results) -> Result<PathBuf> {
    let path = out.join("benchmarks.md");
    let plots = out.join("benchmarks");
    fs::create_dir_all(&plots).with_context(|| format!("cannot make {}", plots.display()))?;
    for (name, svg) in drawn(results) {
        let path = plots.join(name);
        fs::write(&path, svg).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let old = fs::read_to_string(&path).unwrap_or_default();
    let text = keep(&rendered(results), &old)?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The tables, for a terminal.
pub(super) fn tables(results: &Results) -> String {
    let mut text = String::new();
    for table in [
        aim_table(results),
        rate_table(results),
        latency_table(results),
        memory_table(results),
        postgres_table(results),
    ] {
        text.push_str(&table);
        text.push('\n');
    }
    for dimension in &results.scale {
        let parts = [
            dimension.name.clone(),
            scale_table(dimension),
            verdict(dimension),
        ];
        for part in parts.iter().filter(|part| !part.is_empty()) {
            text.push_str(part);
            text.push('\n');
        }
    }
    text
}

fn rendered(results: &Results) -> String {
    let machine = results
        .machine
        .iter()
        .map(|(name, value)| vec![name.clone(), value.clone()]);
    let warnings: String = results
        .warnings
        .iter()
        .map(|warning| format!("> **Beware:** {warning}.\n\n"))
        .collect();
    let first_look = if results.quick {
        "> **Beware:** a first look (`--quick`): small numbers, few rounds.\n\n"
    } else {
        ""
    };
    let values = [
        ("warnings", format!("{first_look}{warnings}")),
        ("aims", aim_table(results)),
        ("rates", rate_table(results)),
        ("latency", latency_table(results)),
        ("memory", memory_table(results)),
        ("postgres", postgres_table(results)),
        ("scale", scale_sections(results)),
        ("machine", table("what | which", machine)),
        ("rounds", results.rounds.to_string()),
        ("threads", results.threads.to_string()),
        ("body", shown(results.body as f64)),
        ("backlog", shown(results.backlog as f64)),
        ("minutes", format!("{:.0}", results.minutes)),
    ];
    let mut text = TEMPLATE.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{{{name}}}}}"), value.trim());
    }
    text
}

fn aim_table(results: &Results) -> String {
    let rows = aims(results).into_iter().map(|aim| {
        let verdict = aim.verdict().text().to_owned();
        vec![aim.name.clone(), aim.wanted(), aim.found(), verdict]
    });
    table("aim | wanted | measured: median (min to max) | ", rows)
}

/// The median, if there is one.
fn middle(spread: Option<Spread>) -> String {
    spread.map_or("–".to_owned(), |spread| shown(spread.median))
}

fn rate_table(results: &Results) -> String {
    let rows = Part::RATES.iter().filter_map(|&part| {
        let why = results.skipped.get(&part).or(results.failed.get(&part));
        if let Some(why) = why {
            let mut row = vec![part.title().to_owned(), why.clone()];
            row.resize(9, String::new());
            return Some(row);
        }
        let mut row = vec![name(results, part)];
        row.push(results.spread(part, |sample| sample.rate)?.text(""));
        let (rate, cost) = (Sample::rate, Sample::sender_us);
        row.push(middle(results.ratio(part, Part::Bare, rate)));
        row.push(middle(results.spread(part, cost)));
        let beside = results.ratio(part, Part::Bare, cost);
        row.push(beside.map_or("–".to_owned(), |spread| spread.text("")));
        row.push(middle(results.spread(part, |sample| sample.receiver_us)));
        let feeder = results.spread(part, |sample| sample.feeder_us);
        row.push(middle(feeder.filter(|spread| spread.max > 0.0)));
        row.push(middle(results.spread(part, |sample| sample.peak_mib)));
        row.push(middle(results.spread(part, |sample| sample.other_load)));
        Some(row)
    });
    table(
        "sender | events/s: median (min to max) | of bare sockets | processor µs each | beside \
         bare sockets: median (min to max) | the receiver's | the feeder's | RssAnon MiB, at most \
         | other load, %",
        rows,
    )
}

/// The title, with the number of events in a request where there are several.
fn name(results: &Results, part: Part) -> String {
    let title = part.title();
    match results.spread(part, |sample| sample.per_request) {
        Some(events) if events.max > 1.0 => format!("{title} (mean {:.0})", events.median),
        _ => title.to_owned(),
    }
}

fn latency_table(results: &Results) -> String {
    let rows = results.latencies.iter().map(|latency| {
        let mut row = vec![latency.part.title().to_owned()];
        row.push(format!(
            "{} (1/{:.0})",
            shown(latency.rate),
            1.0 / latency.share
        ));
        row.extend(
            (0..5).map(|which| middle(latency.spread(|paced| f64::from(paced.added_us[which])))),
        );
        row.push(middle(latency.spread(|paced| paced.sender_us)));
        row.push(middle(latency.cost_ratio()));
        row.push(middle(latency.spread(|paced| paced.other_load)));
        row
    });
    table(
        "µs added | events/s (of the highest rate) | p50 | p90 | p99 | p99.9 | most | processor µs \
         each | beside the highest rate | other load, %",
        rows,
    )
}

fn memory_table(results: &Results) -> String {
    let targets = results.memory.first().map(|memory| memory.targets as f64);
    let figures = [
        results.memory(|memory| memory.idle_mib),
        results.memory(|memory| memory.loaded_mib),
        results.memory(|memory| memory.other_load),
    ];
    let row = targets.map(|targets| {
        let text = |spread: Option<Spread>| spread.map_or("–".to_owned(), |it| it.text(""));
        let figures = figures.map(text);
        [vec![shown(targets)], figures.to_vec()].concat()
    });
    table(
        "targets | RssAnon MiB, idle | under load | other load, %",
        row.into_iter(),
    )
}

fn postgres_table(results: &Results) -> String {
    let skipped = results.skipped.get(&Part::Workers);
    let why = skipped.or(results.failed.get(&Part::Workers));
    let why = why.map_or("Not measured in this run.\n".to_owned(), |why| {
        format!("{why}\n")
    });
    results.postgres.as_ref().map_or(why, postgres::tables)
}

fn scale_sections(results: &Results) -> String {
    let mut text = String::new();
    for dimension in &results.scale {
        let Dimension { name, what, .. } = dimension;
        let title = capital(name);
        text.push_str(&format!(
            "### {title}\n\n{what}\n\n{}\n![cost of an event]({}/{})\n\n",
            scale_table(dimension),
            "benchmarks",
            scale_plot_name(dimension),
        ));
        let verdict = verdict(dimension);
        if !verdict.is_empty() {
            text.push_str(&format!("{verdict}\n\n"));
        }
    }
    text
}

fn scale_table(dimension: &Dimension) -> String {
    let rows = dimension.points.iter().map(|Point { n, beside, sample }| {
        vec![
            shown_count(*n),
            beside.map_or(String::new(), |ms| format!("{ms} ms")),
            shown(sample.rate),
            shown(1e6 / sample.rate),
            shown(sample.sender_us),
            shown(sample.peak_mib),
            shown(sample.other_load),
        ]
    });
    let has_second = dimension.points.iter().any(|point| point.beside.is_some());
    let answers = if has_second { "answers after" } else { "" };
    let head = format!(
        "{} | {answers} | deliveries/s | µs each, by the clock | processor µs each | \
         RssAnon MiB, at most | other load, %",
        dimension.name
    );
    table(&head, rows)
}

/// Whether the cost of all n grows worse than n log n, by its ends, and the power that fits; of
/// what there are n of, and not of how many are under way at once.
fn verdict(dimension: &Dimension) -> String {
    if ["concurrency", "connections", "ingest tasks"].contains(&&*dimension.name) {
        return String::new();
    }
    let lines = besides(dimension).into_iter().filter_map(|beside| {
        let points = total_cost(dimension, beside);
        let (grew, allowed) = growth(&points)?;
        let ends = points.iter().map(|point| point.0);
        let least = ends.clone().fold(f64::INFINITY, f64::min);
        let most = ends.fold(0.0, f64::max);
        let word = if grew <= allowed {
            "no worse than"
        } else {
            "**worse than**"
        };
        let power = exponent(&points);
        let power = power.map_or(String::new(), |power| format!("; it fits n^{power:.2}"));
        let at = beside.map_or(String::new(), |ms| format!(", with answers after {ms} ms"));
        Some(format!(
            "From {} to {}{at}, the processor time for all of n grew {} times, and n log n {} \
             times: it grows {word} n log n{power}.",
            shown_count(least),
            shown_count(most),
            shown(grew),
            shown(allowed),
        ))
    });
    lines.collect::<Vec<_>>().join("\n\n")
}

/// The second numbers of a dimension, each once.
fn besides(dimension: &Dimension) -> Vec<Option<f64>> {
    let mut besides: Vec<_> = dimension.points.iter().map(|point| point.beside).collect();
    besides.dedup();
    besides
}

/// The processor time of n together: of a body, an event costs all its bytes; of all else, an
/// event is one of n.
fn total_cost(dimension: &Dimension, beside: Option<f64>) -> Vec<(f64, f64)> {
    let by_bytes = dimension.name == "bodies";
    let points = dimension.points.iter();
    points
        .filter(|point| point.n > 0.0 && point.beside == beside)
        .map(|point| {
            let each = point.sample.sender_us;
            (point.n, if by_bytes { each } else { each * point.n })
        })
        .collect()
}

fn drawn(results: &Results) -> Vec<(String, String)> {
    let all = |pick: fn(&Sample) -> f64| -> Vec<Bar> {
        let bars = Part::RATES.iter().filter_map(|&part| {
            Some(Bar {
                name: part.title().to_owned(),
                value: results.spread(part, pick)?,
                bright: part.is_ours(),
            })
        });
        bars.collect()
    };
    let mut plots = Vec::new();
    if !results.samples.is_empty() {
        let title = "Events a second: median, least and most";
        let rates = bars(title, &all(|sample| sample.rate));
        let title = "Processor time of the sender for each event, µs";
        let costs = bars(title, &all(|sample| sample.sender_us));
        plots = vec![
            ("rates.svg".to_owned(), rates),
            ("costs.svg".to_owned(), costs),
        ];
    }
    for dimension in &results.scale {
        plots.push((scale_plot_name(dimension), scale_plot(dimension)));
    }
    plots
}

fn scale_plot_name(dimension: &Dimension) -> String {
    format!("scale-{}.svg", dimension.name.replace(' ', "-"))
}

fn scale_plot(dimension: &Dimension) -> String {
    let line = |name: String, beside: Option<f64>, pick: fn(&Point) -> f64| {
        let points = dimension
            .points
            .iter()
            .filter(|point| point.beside == beside);
        Line {
            name,
            points: points.map(|point| (point.n, pick(point))).collect(),
        }
    };
    let mut all = Vec::new();
    for beside in besides(dimension) {
        let at = beside.map_or(String::new(), |ms| format!(", answers after {ms} ms"));
        all.push(line(format!("processor{at}"), beside, |point| {
            point.sample.sender_us
        }));
        if beside.is_none() {
            all.push(line("by the clock".to_owned(), beside, |point| {
                1e6 / point.sample.rate
            }));
        }
    }
    lines("Cost of a delivery, µs", &dimension.name, &all)
}

fn shown_count(n: f64) -> String {
    if n < 100.0 { format!("{n}") } else { shown(n) }
}

fn capital(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// A table in Markdown, whose head has `|` between its columns.
fn table(head: &str, rows: impl Iterator<Item = Vec<String>>) -> String {
    let columns = head.split('|').count();
    let mut text = format!("| {head} |\n|{}\n", "---|".repeat(columns));
    for row in rows {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text
}

/// Puts what people wrote in the old text into the new one's places.
fn keep(new: &str, old: &str) -> Result<String> {
    let mut text = String::new();
    let mut rest = new;
    while let Some(at) = rest.find(KEPT) {
        let (before, from) = rest.split_at(at);
        let (name, content) = section(from).context("the template has an open section")?;
        text.push_str(before);
        let kept = sections(old)?.into_iter().find(|(kept, _)| *kept == name);
        text.push_str(kept.map_or(content, |(_, content)| content));
        rest = &from[content.len()..];
    }
    text.push_str(rest);
    for (name, _) in sections(old)? {
        ensure!(
            text.contains(&format!("{KEPT}{name} -->")),
            "the kept section {name} has no place in the new document, and would be lost"
        );
    }
    Ok(text)
}

/// The kept sections of a text: their names, and all of them, markers included.
fn sections(mut text: &str) -> Result<Vec<(&str, &str)>> {
    let mut sections = Vec::new();
    while let Some(at) = text.find(KEPT) {
        let found = section(&text[at..]).context("a kept section has no end")?;
        sections.push(found);
        text = &text[at + found.1.len()..];
    }
    Ok(sections)
}

fn section(text: &str) -> Option<(&str, &str)> {
    let name = text.strip_prefix(KEPT)?.split(" -->").next()?;
    let end = text.find(END)? + END.len();
    Some((name, &text[..end]))
}

#[cfg(test)]
mod tests;
