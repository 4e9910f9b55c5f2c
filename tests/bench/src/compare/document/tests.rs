use super::super::latency::HALF;
use super::super::results::{Latency, Memory, Paced, Sample};
use super::*;

fn sample(rate: f64, sender_us: f64) -> Sample {
    Sample {
        events: 1,
        rate,
        sender_us,
        receiver_us: 6.0,
        peak_mib: 12.0,
        per_request: 1.0,
        other_load: 3.0,
        ..Sample::default()
    }
}

fn results() -> Results {
    let mut results = Results {
        rounds: 3,
        threads: 8,
        body: 3_500,
        backlog: 1_000_000,
        machine: vec![("processor".to_owned(), "a fast one".to_owned())],
        ..Results::default()
    };
    results
        .samples
        .insert(Part::Bare, vec![sample(80_000.0, 9.0)]);
    results
        .samples
        .insert(Part::BestEffort, vec![sample(40_000.0, 30.0)]);
    let batches = Sample {
        per_request: 97.4,
        feeder_us: 1.5,
        ..sample(160_000.0, 12.0)
    };
    results.samples.insert(Part::Batches, vec![batches]);
    results
        .failed
        .insert(Part::Hyper, "failed: gone".to_owned());
    results
        .skipped
        .insert(Part::Wrk, "wrk is not installed".to_owned());
    results.latencies.push(Latency {
        part: Part::Durable,
        rate: 10_000.0,
        share: HALF,
        highest_us: 20.0,
        rounds: vec![Paced {
            added_us: [700, 900, 1_500, 2_000, 9_000],
            sender_us: 30.0,
            other_load: 3.0,
        }],
    });
    results.memory.push(Memory {
        targets: 1_000,
        idle_mib: 80.0,
        loaded_mib: 150.0,
        other_load: 3.0,
    });
    results.scale.push(Dimension {
        name: "tasks".to_owned(),
        what: "Events of so many tasks.".to_owned(),
        points: [(1.0, 30.0), (1_000_000.0, 60.0)]
            .map(|(n, us)| Point {
                n,
                beside: None,
                sample: sample(20_000.0, us),
            })
            .to_vec(),
    });
    results
}

#[test]
fn the_document_holds_what_was_measured_and_what_was_not() {
    let text = rendered(&results());
    for expected in [
        "| processor time: webhookd, best-effort / bare sockets (the ceiling) | at most 1.45 | 3.33 (3.33 to 3.33) | **missed** |",
        "| p50 added at 1/2 of the highest rate: webhookd, durable | at most 2,000 µs | 700 µs (700 to 700) | met |",
        "| webhookd, best-effort | 40,000 (40,000 to 40,000) | 0.50 | 30.0 | 3.33 (3.33 to 3.33) | 6.00 | – | 12.0 | 3.00 |",
        "| webhookd, durable, batches of 100 (mean 97) | 160,000 (160,000 to 160,000) | 2.00 | 12.0 | 1.33 (1.33 to 1.33) | 6.00 | 1.50 |",
        "| webhookd, durable | 10,000 (1/2) | 700 | 900 | 1,500 | 2,000 | 9,000 | 30.0 | 1.50 | 3.00 |",
        "wrk is not installed",
        "failed: gone",
        "| 1,000 | 80.0 (80.0 to 80.0) | 150 (150 to 150) | 3.00 (3.00 to 3.00) |",
        "a fast one",
        "it grows no worse than n log n; it fits n^1.05",
        "(benchmarks/scale-tasks.svg)",
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    assert!(!text.contains("{{"), "a place was not filled:\n{text}");
}

#[test]
fn a_cost_that_grows_too_fast_is_told() {
    let mut results = results();
    results.scale[0].points[1].sample.sender_us = 30.0 * 30.0;
    assert!(rendered(&results).contains("**worse than** n log n"));
}

#[test]
fn each_plot_that_the_document_shows_is_drawn() {
    let results = results();
    let text = rendered(&results);
    let drawn = drawn(&results);
    let mut shown = 0;
    for part in text.split("(benchmarks/").skip(1) {
        let name = part.split(')').next().unwrap();
        if !name.ends_with(".svg") {
            continue;
        }
        assert!(drawn.iter().any(|(drawn, _)| drawn == name), "{name}");
        shown += 1;
    }
    assert_eq!(shown, drawn.len());
}

#[test]
fn what_people_wrote_is_kept() {
    let new = "a\n<!-- kept: x -->\nempty\n<!-- /kept -->\nb\n";
    let old = "old\n<!-- kept: x -->\nby hand\n<!-- /kept -->\n";
    let kept = keep(new, old).unwrap();
    assert_eq!(kept, "a\n<!-- kept: x -->\nby hand\n<!-- /kept -->\nb\n");
    assert_eq!(keep(new, "").unwrap(), new);
}

#[test]
fn what_people_wrote_is_not_lost_when_it_has_no_place() {
    let old = "<!-- kept: gone -->\nby hand\n<!-- /kept -->\n";
    let error = keep("nothing", old).unwrap_err().to_string();
    assert!(error.contains("gone"), "{error}");
    assert!(keep("nothing", "<!-- kept: gone -->\nby hand").is_err());
}
