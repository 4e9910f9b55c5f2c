//! The filter of dead letters, of the command line and of the admin API.

use crate::dead_letters::{Filter, FilterText, Letter};
use crate::seeds::Files;
use webhook_queue::{Claim, DeadLetter, EntryId, EventId, Owed};

/// Lines: the parts of a filter as a query has them, an empty line, then the key, the attributes, the note
/// and the body of a dead letter.
///
/// A filter that is read is the same when its parts are read again, and matches the same letters.
pub(crate) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (query, letter) = text.split_once("\n\n").unwrap_or((&text, ""));
    let filter = match Filter::parse(parts(query.lines())) {
        Ok(filter) => filter,
        Err(why) => return assert!(!why.is_empty()),
    };
    let pairs = filter.pairs();
    assert_eq!(
        filter.is_empty(),
        pairs.iter().all(|(name, _)| *name == "delivered")
    );
    let lines: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let again = Filter::parse(parts(lines.iter().map(String::as_str)));
    let again = again.unwrap_or_else(|why| panic!("{why}: {lines:?}"));
    assert_eq!(again.pairs(), pairs);
    let mut fields = letter.splitn(4, '\n').map(str::as_bytes);
    let mut next = || fields.next().unwrap_or_default();
    let (key, attributes, note, body) = (next(), next(), next(), next());
    let letter = DeadLetter {
        target: filter.target().unwrap_or("t"),
        owed: Owed {
            entry: EntryId(1),
            id: EventId([10; 16]),
            key,
            body,
            attributes,
            accepted_at: 0,
            attempts: 1,
            not_before: 0,
            claim: Claim::SOLE,
        },
        died_at: 1_000_000,
        note,
    };
    assert_eq!(filter.matches(&letter), again.matches(&letter));
    assert!(!filter.is_empty() || filter.matches(&letter));
    let shown = serde_json::to_string(&Letter::with_event(&letter, &filter)).expect("it is JSON");
    assert!(serde_json::from_str::<Letter>(&shown).is_ok(), "{shown}");
}

/// Of a part that occurs twice, the last one counts.
fn parts<'a>(lines: impl Iterator<Item = &'a str>) -> FilterText {
    let mut text = FilterText::default();
    for (name, value) in lines.filter_map(|line| line.split_once('=')) {
        let part = match name {
            "target" => &mut text.target,
            "id" => &mut text.id,
            "input" => &mut text.input,
            "task" => &mut text.task,
            "job" => &mut text.job,
            "status" => &mut text.status,
            "since" => &mut text.since,
            "until" => &mut text.until,
            _ => {
                text.delivered |= name == "delivered";
                continue;
            }
        };
        *part = Some(value.to_owned());
    }
    text
}

pub(crate) fn seeds(files: &mut Files) {
    let id = format!("id=evt_{}", "0a".repeat(16));
    let letter = "\u{1}nomad\u{1}1\n{\"input\":\"nomad\",\"state\":\"failed\",\"job\":[\"default\",\"web\"]}\n\
        {\"reason\":\"too-old\",\"status\":503}\n{}";
    for query in [
        "target=t\nstatus=5xx,503,FAILED\njob=default/**",
        "input=nomad\ntask=1\nsince=2026-11-22\nuntil=2026-11-29T10:00:00Z",
        "since=2h\nuntil=7d\ndelivered=true",
        "status=4XX\nuntil=1970-01-02 00:01",
        &id,
    ] {
        files.add(format!("{query}\n\n{letter}"));
    }
    files.each_line("events.ndjson", |line| {
        [
            b"job=*/prod/**\nstatus=failed,lost,pending\n\ntask\n\n\n",
            line,
        ]
        .concat()
    });
}
