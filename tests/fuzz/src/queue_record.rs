//! The records of the queue's tables.

#[expect(
    dead_code,
    reason = "a private module of webhook-queue, of which a part is used here"
)]
#[path = "../../../crates/webhook-queue/src/disk_queue/record.rs"]
mod record;

use self::record::{Row, checksum, event_key};
use crate::seeds::Files;
use webhook_queue::{Event, EventId, Owed};

/// The first byte is an entry, the second and third a change of the record, which is the rest.
///
/// What is read of a record is written as the same record; no other entry has it; no change of a byte
/// leaves it readable; and every reader takes any bytes.
pub(crate) fn run(input: &[u8]) {
    let [seq, at, change, bytes @ ..] = input else {
        return;
    };
    let seq = u64::from(*seq);
    event(seq, bytes);
    let mut whole = bytes.to_vec();
    if let Some((sum, rest)) = whole.split_first_chunk_mut() {
        *sum = checksum(&event_key(seq), rest).to_le_bytes();
        if event(seq, &whole) {
            let at = usize::from(*at) * whole.len() / 256;
            whole[at] ^= (*change).max(1);
            assert!(
                record::read_event(seq, &whole).is_none(),
                "byte {at} is changed"
            );
        }
    }
    others(bytes);
}

/// Whether the record is one of an event.
fn event(seq: u64, record: &[u8]) -> bool {
    let _key = record::key_of_event(record);
    let Some(owed) = record::read_event(seq, record) else {
        return false;
    };
    assert_eq!(record::key_of_event(record), Some(owed.key));
    assert!(record::read_event(seq + 1, record).is_none());
    let event = of(&owed);
    let mut again = Vec::new();
    record::write_event(seq, &event, &mut again);
    // The flag of attributes is not set for none.
    let flag = record.get(7).is_some_and(|byte| byte & 0x80 != 0);
    if !(flag && owed.attributes.is_empty()) {
        assert_eq!(again, record);
    }
    assert_eq!(again.len(), record::event_len(&event));
    true
}

fn of(owed: &Owed<'_>) -> Event {
    Event {
        id: owed.id,
        key: owed.key.into(),
        body: owed.body.into(),
        attributes: owed.attributes.into(),
        accepted_at: owed.accepted_at,
        targets: [].into(),
        idempotency_key: None,
        last_state: None,
    }
}

/// The records of the other tables, each with a checksum that is right.
fn others(bytes: &[u8]) {
    if let Some(row) = Row::read(bytes) {
        assert_eq!(row.write(), bytes);
        let mut same = row.clone();
        assert!(same.read_usage(Some(&row.write_usage())));
        let _is_of_row = same.read_usage(Some(bytes));
    }
    if let Some((targets, record)) = record::read_aside(bytes) {
        assert_eq!(record::aside_value(&targets, record), bytes);
    }
    if let Some(hold) = record::read_hold(bytes) {
        assert_eq!(record::hold_value(hold.until, &hold.note), bytes);
    }
    let (attempts, not_before) = record::read_owed(bytes);
    let written = record::owed_value(attempts, not_before, record::cost_of_owed(bytes));
    assert!(bytes.len() != written.len() || bytes == written);
    let _shares = record::read_shares(Some(bytes));
    let summed = |key: &[u8]| {
        let mut record = bytes.to_vec();
        if let Some((sum, rest)) = record.split_first_chunk_mut() {
            *sum = checksum(key, rest).to_le_bytes();
        }
        record
    };
    let key = record::target_key(1, 2);
    let letter = summed(&key);
    if let Some(dead) = record::read_dead(&key, &letter) {
        assert_eq!(record::dead_value(&key, dead), letter);
    }
    let print = [7; 16];
    let known = summed(&print);
    if let Some(found) = record::read_known(&print, &known) {
        assert_eq!(record::known_value(&print, found), known);
    }
}

pub(crate) fn seeds(files: &mut Files) {
    for (key, attributes, body) in [
        ("task-1", "", "{\"a\":1}"),
        ("", "", ""),
        ("task-2", "{\"input\":\"nomad\",\"state\":\"failed\"}", "{}"),
    ] {
        let event = Event {
            id: EventId([7; 16]),
            key: key.as_bytes().into(),
            body: body.as_bytes().into(),
            attributes: attributes.as_bytes().into(),
            accepted_at: 1,
            targets: [].into(),
            idempotency_key: None,
            last_state: None,
        };
        let mut record = Vec::new();
        record::write_event(3, &event, &mut record);
        files.add([&[3, 100, 1], &record[..]].concat());
        files.add([&[0, 0, 0], &record::aside_value(&["a", key], &record)[..]].concat());
    }
    let row = Row {
        pending: 3,
        dead: 1,
        name: "audit".to_owned(),
        ..Row::default()
    };
    files.add([&[0, 0, 0], &row.write()[..]].concat());
    files.add([&[0, 0, 0], &record::owed_value(2, 3, 4)[..]].concat());
    files.add([&[0, 0, 0], &record::hold_value(9, b"410")[..]].concat());
    files.add([&[0; 3][..], &[1; 44]].concat());
}
