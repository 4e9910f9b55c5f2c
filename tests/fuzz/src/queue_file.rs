//! A queue in a directory whose files were damaged.

use crate::seeds::Files;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;
use webhook_queue::{
    DiskQueue, EntryId, Event, EventId, Options, Queue, Settled, Settlement, SlotGuard, verify,
};

const OPTIONS: Options = Options::with_max_bytes(4 << 20);
/// Events of the queue. The last of them are dead letters of `a`, and still owed to `b`.
const EVENTS: u8 = 12;
const DEAD: Range<u8> = 9..12;
/// Bytes of a record that are stored together.
const PIECE: usize = 4080;

/// A whole queue: its files, and where its records are in `data.mdb`.
struct Image {
    mark: Vec<u8>,
    data: Vec<u8>,
    /// Of each event, all places of its record: former copies may be there, too.
    records: Vec<Vec<Range<usize>>>,
}

static IMAGE: LazyLock<Image> = LazyLock::new(Image::make);

/// An event whose bytes are like no other's. Some are stored in pieces.
fn event(number: u8) -> Event {
    let length = match number % 4 {
        0 => 9000,
        rest => 40 * usize::from(rest),
    };
    let body = (0..length).map(|at| ((at * 7 + at / 251) as u8) ^ number.wrapping_mul(37));
    Event {
        id: EventId([number + 1; 16].map(|byte| byte.wrapping_mul(0x3b) ^ 0x5a)),
        key: [b'k', number % 3].into(),
        body: body.collect(),
        attributes: vec![number; usize::from(number % 2) * 30].into(),
        accepted_at: 1_000_000 + u64::from(number),
        targets: ["a", "b"].map(Arc::from).into(),
        idempotency_key: Some([number].into()),
        last_state: None,
    }
}

fn settlement(target: &str, entry: EntryId, outcome: Settled) -> Settlement {
    Settlement {
        target: target.into(),
        entry,
        outcome,
        guard: SlotGuard::SOLE,
    }
}

impl Image {
    fn make() -> Image {
        let directory = folder();
        let path = directory.path();
        let queue = DiskQueue::open(path, &OPTIONS).expect("a new queue");
        let events: Vec<Event> = (0..EVENTS).map(event).collect();
        let stored = queue.commit(&events, &[]).expect("there is room");
        let dead = |number: u8| {
            let entry = stored.accepted[usize::from(number)]
                .entry()
                .expect("it is new");
            settlement("a", entry, died(number))
        };
        let settled: Vec<Settlement> = DEAD.map(dead).collect();
        queue.commit(&[], &settled).expect("there is room");
        queue.close().expect("it closes");
        drop(queue);
        let data = fs::read(path.join("data.mdb")).expect("the data");
        let records = events.iter().map(|event| places(&data, event)).collect();
        Image {
            mark: fs::read(path.join("FORMAT")).expect("the mark"),
            data,
            records,
        }
    }
}

/// A folder for one queue: in memory, where there is such a place, since a commit takes no time there.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    folder.expect("a temporary folder")
}

/// Makes a queue of these files.
fn write(mark: &[u8], lock: Option<&[u8]>, data: &[u8]) -> TempDir {
    let directory = folder();
    let path = directory.path();
    fs::write(path.join("FORMAT"), mark).expect("the mark");
    fs::write(path.join("data.mdb"), data).expect("the data");
    if let Some(lock) = lock {
        fs::write(path.join("lock"), lock).expect("the lock");
    }
    directory
}

fn died(number: u8) -> Settled {
    Settled::Dead {
        attempts: 1,
        died_at: 1,
        note: vec![b'n', number],
    }
}

/// Where the pieces of an event's record are. The first begins 16 bytes before its id; the rest of the
/// record is known.
fn places(data: &[u8], event: &Event) -> Vec<Range<usize>> {
    let mut record = [&[0; 16], &event.id.0[..], &event.key].concat();
    if !event.attributes.is_empty() {
        record.extend((event.attributes.len() as u32).to_le_bytes());
        record.extend_from_slice(&event.attributes);
    }
    record.extend_from_slice(&event.body);
    let mut found = Vec::new();
    for (number, piece) in record.chunks(PIECE).enumerate() {
        let ahead = if number == 0 { 16 } else { 0 };
        let sought = &piece[ahead..];
        let places = data.windows(sought.len()).enumerate();
        let places = places.filter(|(_, bytes)| *bytes == sought);
        found.extend(places.map(|(at, _)| at - ahead..at - ahead + piece.len()));
    }
    assert!(
        !found.is_empty(),
        "the record of {:?} is in the data",
        event.id
    );
    found
}

/// The first byte says what is damaged: records, by changes of four bytes each (event, place, byte); the
/// mark; the lock's file; or the length of the data.
///
/// A queue with damaged records opens, shows every intact event and dead letter as it was, counts those
/// that it quarantines, and takes and settles events. One with other damage does so too, or is refused.
pub(crate) fn run(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    let image = &*IMAGE;
    match kind % 4 {
        0 => records(image, rest),
        1 => any(image, rest, None, &image.data),
        2 => any(image, &image.mark, Some(rest), &image.data),
        _ => {
            let length = rest
                .iter()
                .take(3)
                .fold(0, |all, byte| all << 8 | usize::from(*byte));
            any(
                image,
                &image.mark,
                None,
                &image.data[..length.min(image.data.len())],
            );
        }
    }
}

/// Whatever the files hold, the queue opens or says why not; if it opens, it is read.
fn any(image: &Image, mark: &[u8], lock: Option<&[u8]>, data: &[u8]) {
    let directory = write(mark, lock, data);
    match DiskQueue::open(directory.path(), &OPTIONS) {
        Ok(queue) => {
            if data.len() == image.data.len() {
                assert_eq!(shown(&queue).0.len(), 2 * usize::from(EVENTS) - DEAD.len());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn records(image: &Image, changes: &[u8]) {
    let mut data = image.data.clone();
    let mut changed: BTreeMap<u8, u32> = BTreeMap::new();
    for change in changes.chunks_exact(4).take(16) {
        let number = change[0] % EVENTS;
        let places = &image.records[usize::from(number)];
        let length: usize = places.iter().map(Range::len).sum();
        let mut at = (usize::from(change[1]) << 8 | usize::from(change[2])) % length;
        for place in places {
            match at.checked_sub(place.len()) {
                Some(rest) => at = rest,
                None => {
                    let byte = &mut data[place.start + at];
                    *changed.entry(number).or_default() += u32::from(*byte != change[3]);
                    *byte = change[3];
                    break;
                }
            }
        }
    }
    let is_changed = |number: u8| {
        let places = &image.records[usize::from(number)];
        places
            .iter()
            .any(|at| data[at.clone()] != image.data[at.clone()])
    };
    changed.retain(|number, _| is_changed(*number));
    let directory = write(&image.mark, None, &data);
    let path = directory.path();
    let found = verify(path).expect("the pages are whole");
    assert!(found.corrupt_count <= changed.len() as u64);
    let queue = DiskQueue::open(path, &OPTIONS).expect("damaged records do not keep it closed");
    let (owed, dead) = shown(&queue);
    for number in 0..EVENTS {
        let targets = if DEAD.contains(&number) {
            &["b"][..]
        } else {
            &["a", "b"]
        };
        for target in targets {
            let found = owed.contains(&(target.to_string(), number));
            let is_intact = !changed.contains_key(&number);
            assert!(
                found || !is_intact,
                "event {number} of {target} is lost: {changed:?}"
            );
        }
        assert!(!DEAD.contains(&number) || changed.contains_key(&number) || dead.contains(&number));
    }
    let quarantined = queue.statistics().expect("it is read").corrupt;
    assert!(quarantined <= changed.len() as u64);
    // It goes on: what is there is settled, and a new event is stored.
    let mut entries = Vec::new();
    let visit = &mut |owed: webhook_queue::Owed<'_>| {
        entries.push(owed.entry);
        ControlFlow::Continue(())
    };
    queue.owed("b", None, visit).expect("it is read");
    let delivered = |entry: &EntryId| settlement("b", *entry, Settled::Delivered);
    let settled: Vec<Settlement> = entries.iter().map(delivered).collect();
    let new = event(EVENTS);
    let result = queue.commit(&[new], &settled).expect("it takes a commit");
    assert!(result.accepted[0].entry().is_some());
    let left: Vec<u8> = shown(&queue)
        .0
        .into_iter()
        .filter(|it| it.0 == "b")
        .map(|it| it.1)
        .collect();
    assert_eq!(left, [EVENTS]);
}

/// The events owed, by target and number, and the dead letters: each is as it was stored.
fn shown(queue: &DiskQueue) -> (BTreeSet<(String, u8)>, BTreeSet<u8>) {
    let (mut owed, mut dead) = (BTreeSet::new(), BTreeSet::new());
    let number = |it: &webhook_queue::Owed<'_>| {
        let number = (0..=EVENTS).find(|number| event(*number).id == it.id)?;
        let event = event(number);
        let is_same = event.key[..] == *it.key
            && event.body[..] == *it.body
            && event.attributes[..] == *it.attributes;
        is_same.then_some(number)
    };
    for target in ["a", "b"] {
        let visit = &mut |it: webhook_queue::Owed<'_>| {
            owed.extend(number(&it).map(|number| (target.to_owned(), number)));
            ControlFlow::Continue(())
        };
        queue
            .owed(target, None, visit)
            .expect("damage keeps no read from going on");
    }
    let visit = &mut |letter: webhook_queue::DeadLetter<'_>| {
        dead.extend(number(&letter.owed));
        ControlFlow::Continue(())
    };
    queue
        .dead_letters(None, None, visit)
        .expect("damage keeps no read from going on");
    (owed, dead)
}

pub(crate) fn seeds(files: &mut Files) {
    files.add([0]);
    for number in 0..EVENTS {
        // The checksum, the length of the key, the id, the body, and the end.
        for at in [0_u16, 4, 7, 20, 60, 200, 5000] {
            let [high, low] = at.to_be_bytes();
            files.add([0, number, high, low, 0xff]);
        }
        files.add([0, number, 0, 7, 0x80, 0, 0, 5, 0xff, number, 0, 1, 0]);
    }
    files.add([&[1], &IMAGE.mark[..]].concat());
    for lock in ["", "in use\n", "damaged: a page", "other"] {
        files.add([&[2], lock.as_bytes()].concat());
    }
    for length in [
        0,
        100,
        4096,
        8192,
        40_000,
        IMAGE.data.len() - 1,
        IMAGE.data.len(),
    ] {
        files.add([&[3], &(length as u32).to_be_bytes()[1..]].concat());
    }
}
