//! Medians, spreads, ratios round by round, and how a cost grows.

use crate::figures::{Bound, median};
use serde::{Deserialize, Serialize};

/// The middle of some values, and their ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(super) fn of(values: &[f64]) -> Option<Spread> {
        let min = values.iter().copied().min_by(f64::total_cmp)?;
        let max = values.iter().copied().max_by(f64::total_cmp)?;
        Some(Spread {
            median: median(values),
            min,
            max,
        })
    }

    /// The best of the values, by a bound: the greatest of a lower one, the least of an upper one.
    pub(super) fn best(self, bound: Bound) -> f64 {
        match bound {
            Bound::AtLeast(_) => self.max,
            Bound::AtMost(_) => self.min,
        }
    }

    /// `0.71 (0.69 to 0.73)`, with the unit of the median.
    pub(super) fn text(self, unit: &str) -> String {
        let [median, min, max] = [self.median, self.min, self.max].map(shown);
        format!("{median}{unit} ({min} to {max})")
    }
}

/// How many times the one the other is, round by round: what the machine does besides falls on
/// both alike.
pub(super) fn ratios(of: &[f64], to: &[f64]) -> Vec<f64> {
    of.iter().zip(to).map(|(of, to)| of / to).collect()
}

/// The power of n with which a cost grows: the slope of a straight line through the logarithms,
/// by least squares. `None` of fewer than two different n.
pub(super) fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<_> = points.iter().map(|(n, cost)| (n.ln(), cost.ln())).collect();
    let count = logs.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| logs.iter().map(pick).sum::<f64>() / count;
    let (x, y) = (mean(|log| log.0), mean(|log| log.1));
    let square: f64 = logs.iter().map(|log| (log.0 - x).powi(2)).sum();
    let product: f64 = logs.iter().map(|log| (log.0 - x) * (log.1 - y)).sum();
    let slope = product / square;
    slope.is_finite().then_some(slope)
}

/// How many times its share a cost grew, and how many times n log n would have: from the least n
/// to the greatest. `None` of fewer than two points.
pub(super) fn growth(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let least = points.iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let greatest = points.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    if least.0 >= greatest.0 {
        return None;
    }
    // log 1 is 0, which nothing can be compared with.
    let n_log_n = |n: f64| n * n.max(2.0).log2();
    Some((greatest.1 / least.1, n_log_n(greatest.0) / n_log_n(least.0)))
}

/// A number as people read it: 41,234 or 1.25.
pub(super) fn shown(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_middle_and_its_ends() {
        let spread = Spread::of(&[3.0, 9.0, 1.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 3.0, 9.0));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        assert_eq!(ratios(&[10.0, 30.0], &[20.0, 30.0]), [0.5, 1.0]);
        assert_eq!(ratios(&[10.0, 30.0], &[20.0]), [0.5]);
    }

    #[test]
    fn a_power_is_found_again() {
        for power in [0.5, 1.0, 2.0] {
            let points: Vec<_> = [1.0, 10.0, 1_000.0_f64]
                .map(|n| (n, 7.0 * n.powf(power)))
                .to_vec();
            let found = exponent(&points).unwrap();
            assert!((found - power).abs() < 1e-9, "{found}");
        }
        assert_eq!(exponent(&[(1.0, 1.0)]), None);
        assert_eq!(exponent(&[(2.0, 1.0), (2.0, 3.0)]), None);
    }

    #[test]
    fn n_log_n_is_what_growth_is_held_against() {
        let (grew, allowed) = growth(&[(1_000_000.0, 3e6), (1.0, 2.0)]).unwrap();
        assert_eq!(grew, 1.5e6);
        assert!((allowed - 1e6 * 1e6_f64.log2()).abs() < 1.0);
        assert_eq!(growth(&[(1.0, 2.0)]), None);
    }

    #[test]
    fn numbers_are_shown_as_people_read_them() {
        for (value, expected) in [
            (0.654, "0.65"),
            (12.34, "12.3"),
            (999.6, "1,000"),
            (41_234.5, "41,234"),
            (1_000_000.0, "1,000,000"),
            (-1_234.0, "-1,234"),
        ] {
            assert_eq!(shown(value), expected);
        }
    }
}
