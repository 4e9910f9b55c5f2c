//! Benchmarks of reading the fields of schedulers' events by their presets, each next to
//! `serde_json::Value::pointer`, which builds the whole value, and to serde's derive.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::LazyLock;
use webhook_event::{Pointer, PointerSet, Schema};

macro_rules! lines {
    ($name:literal) => {
        include_str!(concat!(
            "../../../../tests/fixtures/schedulers/",
            $name,
            ".ndjson"
        ))
    };
}

/// A preset, and an event for it.
struct Sample {
    schema: Schema,
    event: Vec<u8>,
}

/// The samples by name.
const NAMES: &[&str] = &[
    "airflow",
    "kubernetes",
    "nomad",
    "ray",
    "slurm",
    "slurm-64-kb-script",
    "early-16-kb",
    "early-16-kb-of-text",
];

static SAMPLES: LazyLock<Vec<Sample>> =
    LazyLock::new(|| NAMES.iter().map(|it| sample(it)).collect());

fn sample(name: &str) -> Sample {
    let preset = match name {
        "slurm-64-kb-script" => "slurm",
        "early-16-kb" | "early-16-kb-of-text" => "json",
        other => other,
    };
    let settings = serde_json::json!({ "schema": preset });
    let schema = Schema::from_json(&settings).expect("it is a preset");
    let event = match name {
        "airflow" => longest(lines!("airflow").lines()),
        "kubernetes" => longest(lines!("kubernetes").lines()),
        "nomad" => first_event(&schema, &longest(lines!("nomad").lines())),
        "ray" => longest(
            lines!("ray")
                .lines()
                .filter(|it| it.contains("TASK_LIFECYCLE")),
        ),
        "slurm" => longest(lines!("slurm").lines()),
        "slurm-64-kb-script" => {
            let script =
                r#"#SBATCH --time=1:00\nsrun \/usr\/bin\/simulate \"$INPUT\"\n"#.repeat(1_100);
            let event = longest(lines!("slurm").lines());
            event.replace(r#""script":""#, &format!(r#""script":"{script}"#))
        }
        "early-16-kb" => {
            let item = r#"{"name":"main","ready":true,"restartCount":0,"ports":[80,443]},"#;
            let items = item.repeat(250);
            format!(
                r#"{{"id":"a-1","state":"RUNNING","items":[{}]}}"#,
                items.trim_end_matches(',')
            )
        }
        _ => {
            let text = "The quick brown fox jumps over the lazy dog. ".repeat(360);
            format!(r#"{{"id":"a-1","state":"RUNNING","text":"{text}"}}"#)
        }
    };
    Sample {
        schema,
        event: event.into_bytes(),
    }
}

fn longest<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let longest = lines.max_by_key(|line| line.len());
    longest.expect("there is one").to_owned()
}

fn first_event(schema: &Schema, frame: &str) -> String {
    let events = schema.split(frame.as_bytes()).expect("it is a frame");
    String::from_utf8_lossy(events[0].bytes()).into_owned()
}

fn find(name: &str) -> &'static Sample {
    let index = NAMES.iter().position(|it| *it == name);
    &SAMPLES[index.expect("it is a sample")]
}

fn main() {
    // Samples long enough that a timer tick or an interrupt does not matter.
    divan::Divan::default()
        .sample_size(200)
        .sample_count(100)
        .config_with_args()
        .main();
}

/// All fields, by the preset.
#[divan::bench(args = NAMES)]
fn fields(bencher: Bencher<'_, '_>, name: &str) {
    let Sample { schema, event } = find(name);
    bencher
        .counter(BytesCount::of_slice(event))
        .bench(|| schema.read(black_box(event)));
}

/// As many values as Slurm's fields have, by pointers alone.
#[divan::bench(args = NAMES)]
fn pointers(bencher: Bencher<'_, '_>, name: &str) {
    let event = &find(name).event;
    let mut set = PointerSet::default();
    for pointer in POINTERS {
        set.add(&pointer.parse::<Pointer>().expect("it is a pointer"));
    }
    bencher
        .counter(BytesCount::of_slice(event))
        .bench(|| set.read(black_box(event)));
}

/// Some are in each sample.
const POINTERS: &[&str] = &[
    "/jobid",
    "/state",
    "/id",
    "/Key",
    "/eventId",
    "/object/metadata/uid",
    "/@end",
];

/// The same pointers in the whole value.
#[divan::bench(args = NAMES)]
fn pointers_of_value(bencher: Bencher<'_, '_>, name: &str) {
    let event = &find(name).event;
    bencher.counter(BytesCount::of_slice(event)).bench(|| {
        let value: Value = serde_json::from_slice(black_box(event)).expect("it is JSON");
        let found = POINTERS
            .iter()
            .map(|it| value.pointer(it).map(Value::to_string));
        found.collect::<Vec<_>>()
    });
}

/// What serde's derive reads of a document whose form is known when it is compiled.
#[derive(Deserialize)]
struct Derived<'a> {
    #[serde(borrow, default, alias = "Key", alias = "eventId")]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    state: Option<Cow<'a, str>>,
    #[serde(default)]
    object: Option<IgnoredAny>,
}

#[divan::bench(args = NAMES)]
fn derived(bencher: Bencher<'_, '_>, name: &str) {
    let event = &find(name).event;
    bencher.counter(BytesCount::of_slice(event)).bench(|| {
        let read: Derived<'_> = serde_json::from_slice(black_box(event)).expect("it is JSON");
        (read.id, read.state, read.object.is_some())
    });
}
