//! What else the machine did during a measurement.

use std::fs::read_to_string;
use std::time::Duration;
use testkit::proc;

/// Above this share of the cores, in per cent, other load speaks against a measurement. The
/// kernel's own threads, which write pages back, take some of it.
pub(crate) const BOUND: f64 = 10.0;

/// Compares the busy time of the machine with the processor time of what is measured.
///
/// `/proc/pressure/cpu` is of no use here: it counts the waits of the measured threads, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadMeter {
    start: Ticks,
    /// That of this process, which starts and watches the others.
    own: Duration,
}

/// The time of all cores together, in the system's clock ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    /// User and system mode, interrupts, and what a hypervisor gave to others.
    busy: u64,
    all: u64,
}

impl LoadMeter {
    pub(crate) fn start() -> LoadMeter {
        LoadMeter {
            start: ticks(),
            own: own_time(),
        }
    }

    /// The share of the cores that went since the start to anything but the measured processes,
    /// which used so much processor time since then; in per cent.
    pub(crate) fn other(&self, measured: Duration) -> f64 {
        let own = own_time().saturating_sub(self.own);
        other_share(self.start, ticks(), measured + own)
    }
}

/// What the figures of several measurements are to be read with, if anything.
pub(crate) fn warning(shares: &[f64]) -> Option<String> {
    let above = shares.iter().filter(|share| **share > BOUND).count();
    let most = shares.iter().copied().fold(0.0, f64::max);
    (above > 0).then(|| {
        format!(
            "other load took more than {BOUND:.0} % of the cores during {above} of {} \
             measurements, and {most:.0} % at most",
            shares.len()
        )
    })
}

fn own_time() -> Duration {
    proc::processor_time(std::process::id()).unwrap_or_default()
}

fn ticks() -> Ticks {
    let stat = read_to_string("/proc/stat").unwrap_or_default();
    parse(&stat).unwrap_or(Ticks { busy: 0, all: 0 })
}

/// Reads the first line of `/proc/stat`: `proc(5)`. Time of guests is a part of user time.
fn parse(stat: &str) -> Option<Ticks> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields = fields.split_whitespace().take(8).map(str::parse);
    let fields: Vec<u64> = fields.collect::<Result<_, _>>().ok()?;
    let all = fields.iter().sum();
    let idle = fields.get(3)? + fields.get(4)?;
    Some(Ticks {
        busy: all - idle,
        all,
    })
}

fn other_share(start: Ticks, end: Ticks, measured: Duration) -> f64 {
    let busy = end.busy.saturating_sub(start.busy) as f64;
    let all = end.all.saturating_sub(start.all).max(1) as f64;
    let measured = measured.as_secs_f64() * proc::ticks_per_second() as f64;
    ((busy - measured) * 100.0 / all).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_idle_is_busy_and_guests_are_counted_once() {
        let stat = "cpu  10 20 30 400 50 1 2 3 9 9\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        let ticks = parse(stat).unwrap();
        assert_eq!((ticks.busy, ticks.all), (66, 516));
        assert_eq!(parse("intr 1"), None);
    }

    #[test]
    fn other_load_is_the_busy_time_without_that_of_the_measured_processes() {
        let start = Ticks { busy: 0, all: 0 };
        let per_second = proc::ticks_per_second();
        // Two cores for 5 seconds, 4 of the 10 busy, 3 of them by what is measured.
        let end = Ticks {
            busy: 4 * per_second,
            all: 10 * per_second,
        };
        let share = other_share(start, end, Duration::from_secs(3));
        assert!((share - 10.0).abs() < 1e-9, "{share}");
        assert_eq!(other_share(start, end, Duration::from_secs(9)), 0.0);
        assert_eq!(other_share(start, start, Duration::ZERO), 0.0);
    }

    #[test]
    fn other_load_above_the_bound_is_told_with_the_number_of_measurements() {
        assert_eq!(warning(&[1.0, 9.9]), None);
        let text = warning(&[1.0, 12.0, 43.2]).unwrap();
        assert!(
            text.contains("during 2 of 3 measurements, and 43 %"),
            "{text}"
        );
    }
}
