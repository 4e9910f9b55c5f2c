//! What has come of numbered events: which, how often, and in each key's order.

use super::{STEP_US, numbered_load};
use testkit::load::{Label, Load};

/// The numbers that there are, after which they begin again.
pub(super) const NUMBERS: u32 = 100_000_000;

/// What has come so far.
#[derive(Debug)]
pub(super) struct Tally {
    load: Load,
    /// The numbers that came of each key, sorted by age but for those that came out of order.
    keys: Vec<Vec<u32>>,
    pub(super) repeated: u64,
    pub(super) out_of_order: u64,
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// An event, this long after it was to be sent.
    First { latency_us: u32 },
    /// An event that had come before.
    Repeated,
    /// A body that was not sent.
    Altered,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            load: numbered_load(),
            keys: Vec::new(),
            repeated: 0,
            out_of_order: 0,
        }
    }
}

impl Tally {
    pub(super) fn note(&mut self, body: &[u8], now_us: u64) -> Arrival {
        let Some(Label { task, number }) = self.load.read(body) else {
            return Arrival::Altered;
        };
        let key = task as usize;
        if self.keys.len() <= key {
            self.keys.resize(key + 1, Vec::new());
        }
        let came = &mut self.keys[key];
        match came.last() {
            Some(last) if !is_later(number, *last) => {
                if came.contains(&number) {
                    self.repeated += 1;
                    return Arrival::Repeated;
                }
                self.out_of_order += 1;
                // Before the latest one, which stays the last.
                came.insert(came.len() - 1, number);
            }
            _ => came.push(number),
        }
        let steps = (number_at(now_us) + NUMBERS - number) % NUMBERS;
        let latency_us = u64::from(steps) * STEP_US;
        Arrival::First {
            latency_us: u32::try_from(latency_us).unwrap_or(u32::MAX),
        }
    }
}

/// The number of an event that is to be sent at this time.
pub(super) fn number_at(time_us: u64) -> u32 {
    (time_us / STEP_US % u64::from(NUMBERS)) as u32
}

/// Whether a number is of a later time than another, at most 500 seconds apart.
fn is_later(number: u32, than: u32) -> bool {
    let ahead = (number + NUMBERS - than) % NUMBERS;
    (1..NUMBERS / 2).contains(&ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_and_wrong_order_are_told_apart_over_the_end_of_the_numbers() {
        let mut tally = Tally::default();
        let load = numbered_load();
        let mut note = |number| tally.note(&load.event(Label { task: 3, number }), 200);
        assert_eq!(note(NUMBERS - 5), Arrival::First { latency_us: 250 });
        assert_eq!(note(10), Arrival::First { latency_us: 100 });
        assert_eq!(note(7), Arrival::First { latency_us: 130 });
        assert_eq!(note(7), Arrival::Repeated);
        assert_eq!(note(10), Arrival::Repeated);
        assert_eq!(note(11), Arrival::First { latency_us: 90 });
        assert_eq!((tally.repeated, tally.out_of_order), (2, 1));
        assert_eq!(tally.note(b"{}", 0), Arrival::Altered);
    }
}
