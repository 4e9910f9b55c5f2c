//! Remembers the texts of task configurations. All events of a job's tasks repeat its configuration,
//! which is most of an event.

/// Configurations that are remembered at once, at most.
const SLOTS: usize = 128;
/// The longest text that is remembered.
const LONGEST: usize = 16 << 10;
/// The beginning by which a text is found. The job's name is mostly in it.
const BEGINNING: usize = 128;

/// Texts of task configurations that were read before, for
/// [`EventHeader::read_known`](crate::EventHeader::read_known): at most 128 of up to 16 KiB each. A
/// text is remembered when its beginning comes for the second time.
#[derive(Debug, Default)]
pub struct KnownConfigs {
    /// Empty before the first text.
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    /// The hash of the last beginning that belongs here.
    beginning: u64,
    /// Empty if no text with this beginning is remembered.
    text: Vec<u8>,
    job_at: Option<usize>,
}

/// A text that was read before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownConfig {
    pub(crate) length: usize,
    /// Where its job begins, if it has one.
    pub(crate) job_at: Option<usize>,
}

impl KnownConfigs {
    /// The remembered text that `rest` starts with.
    pub(crate) fn find(&self, rest: &[u8]) -> Option<KnownConfig> {
        let beginning = hash(rest)?;
        let slot = self.slots.get(index(beginning))?;
        let is_known =
            slot.beginning == beginning && !slot.text.is_empty() && rest.starts_with(&slot.text);
        is_known.then_some(KnownConfig {
            length: slot.text.len(),
            job_at: slot.job_at,
        })
    }

    /// Remembers the text of an object that was read without an error, if its beginning was seen
    /// before.
    pub(crate) fn learn(&mut self, text: &[u8], job_at: Option<usize>) {
        let Some(beginning) = hash(text).filter(|_| text.len() <= LONGEST) else {
            return;
        };
        self.slots.resize(SLOTS, Slot::default());
        let Some(slot) = self.slots.get_mut(index(beginning)) else {
            return;
        };
        slot.text.clear();
        if slot.beginning == beginning {
            slot.text.extend_from_slice(text);
            slot.job_at = job_at;
        }
        slot.beginning = beginning;
    }
}

fn hash(text: &[u8]) -> Option<u64> {
    let (words, _) = text.first_chunk::<BEGINNING>()?.as_chunks::<8>();
    let add = |hash: u64, word: &[u8; 8]| {
        let mixed = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ (mixed >> 32)
    };
    Some(words.iter().fold(0, add))
}

fn index(beginning: u64) -> usize {
    const { assert!(SLOTS.is_power_of_two()) };
    beginning as usize & (SLOTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventHeader;
    use proptest::prelude::*;

    const EVENTS: &str = include_str!("../../../tests/fixtures/events.ndjson");

    fn events() -> Vec<&'static [u8]> {
        EVENTS.lines().map(str::as_bytes).collect()
    }

    #[test]
    fn a_text_is_known_from_the_third_time_on() {
        let event = events()[0];
        let mut known = KnownConfigs::default();
        let texts = |known: &KnownConfigs| {
            let texts = known.slots.iter().filter(|slot| !slot.text.is_empty());
            texts.count()
        };
        for expected in [0, 1, 1] {
            let header = EventHeader::read_known(event, &mut known);
            assert_eq!(header, EventHeader::read(event));
            assert_eq!(texts(&known), expected);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut known = KnownConfigs::default();
        let text = |number: usize, length: usize| {
            let padding = "x".repeat(length);
            format!("{{\"job\":{{\"name\":\"{number:0128}\"}},\"padding\":\"{padding}\"}}")
        };
        for number in 0..10 * SLOTS {
            for length in [0, 100, LONGEST, 200] {
                known.learn(text(number, length).as_bytes(), None);
            }
        }
        assert_eq!(known.slots.len(), SLOTS);
        assert!(known.slots.iter().all(|slot| slot.text.len() <= LONGEST));
    }

    proptest! {
        #[test]
        fn what_is_known_changes_no_header(
            steps in proptest::collection::vec(
                (0usize..4, proptest::option::weighted(0.4, (any::<prop::sample::Index>(), any::<u8>()))),
                1..40,
            ),
        ) {
            let events = events();
            let mut known = KnownConfigs::default();
            for (event, change) in steps {
                let mut event = events[event].to_vec();
                if let Some((at, byte)) = change {
                    let at = at.index(event.len());
                    event[at] = byte;
                }
                let header = EventHeader::read_known(&event, &mut known);
                prop_assert_eq!(header, EventHeader::read(&event));
            }
        }

        #[test]
        fn configurations_of_all_shapes_are_read_alike(
            tasks in proptest::collection::vec(
                proptest::sample::select(vec![
                    "null", "1", "{}", "{\"job\":null,\"a\":1}", "{\"job\":{}}", "{\"job\":1}",
                    "{\"job\":{\"role\":\"r\\n\",\"name\":null}}", "{\"job\":{},\"job\":{}}",
                    "{\"job\":{\"role\":1}}", "[]", "{\"a\":", "{\"a\":{\"b\":[1]}} ",
                ]),
                1..40,
            ),
            padding in 100usize..200,
        ) {
            let mut known = KnownConfigs::default();
            for task in tasks {
                // The padding comes first, so that the texts have one beginning.
                let padding = format!("{{\"padding\":\"{}\",", "x".repeat(padding));
                let task = match task.strip_prefix('{') {
                    Some(members) if members != "}" => format!("{padding}{members}"),
                    _ => task.to_owned(),
                };
                let event = format!("{{\"task\":{{\"assignedTask\":{{\"task\":{task},\"taskId\":\"t\"}}}}}}");
                let header = EventHeader::read_known(event.as_bytes(), &mut known);
                prop_assert_eq!(header, EventHeader::read(event.as_bytes()));
            }
        }
    }
}
