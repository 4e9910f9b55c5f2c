//! Figures, their aims, and how they are shown.

use anyhow::Result;
use std::process::ExitCode;

/// The result of a measurement.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    rows: Vec<(String, String)>,
    aims: Vec<(bool, String)>,
    /// Promises that were broken: not a matter of the machine.
    faults: Vec<String>,
}

impl Figures {
    /// A figure that is shown.
    pub(crate) fn row(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.rows.push((name.into(), value.into()));
    }

    /// A figure that is to be at least, or at most, something.
    pub(crate) fn aim(&mut self, name: &str, value: f64, bound: Bound, unit: &str) {
        let (word, limit) = bound.parts();
        let text = format!("{name} {value:.3}{unit}, to be {word} {limit}{unit}");
        self.aims.push((bound.is_met(value), text));
    }

    /// Promises that were broken.
    pub(crate) fn faults(&mut self, faults: impl IntoIterator<Item = String>) {
        self.faults.extend(faults);
    }

    /// The table, then aim by aim, then what is broken.
    pub(crate) fn table(&self) -> String {
        let width = self.rows.iter().map(|(name, _)| name.len()).max();
        let width = width.unwrap_or(0);
        let rows = self
            .rows
            .iter()
            .map(|(name, value)| format!("  {name:width$}  {value}\n"));
        let aims = self.aims.iter().map(|(met, text)| {
            let verdict = if *met { "PASS " } else { "SHORT" };
            format!("{verdict} {text}\n")
        });
        let faults = self.faults.iter().map(|fault| format!("BROKEN {fault}\n"));
        let mut text: String = rows.chain(aims).chain(faults).collect();
        if self.faults.is_empty() {
            text.push_str("PASS  no promise was broken\n");
        }
        text
    }

    /// 1 if a promise is broken, or, when strict, an aim was missed.
    pub(crate) fn exit_code(&self, strict: bool) -> ExitCode {
        let short = self.aims.iter().any(|(met, _)| !met);
        if self.faults.is_empty() && !(strict && short) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// The limit of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Bound::AtLeast(limit) => value >= limit,
            Bound::AtMost(limit) => value <= limit,
        }
    }

    /// `at least` or `at most`, and the limit.
    pub(crate) fn parts(self) -> (&'static str, f64) {
        match self {
            Bound::AtLeast(limit) => ("at least", limit),
            Bound::AtMost(limit) => ("at most", limit),
        }
    }
}

/// The middle one, or the mean of the middle two; 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle)) {
        (_, None) => 0.0,
        (1, Some(middle)) => *middle,
        (_, Some(upper)) => f64::midpoint(sorted[middle - 1], *upper),
    }
}

/// Measures two things in turns, first the one first, then the other, so that what the machine
/// does besides falls on both alike.
pub(crate) fn in_turns<T>(
    rounds: u32,
    mut measure: impl FnMut(bool) -> Result<T>,
) -> Result<(Vec<T>, Vec<T>)> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for which in [round % 2 == 0, round % 2 != 0] {
            let result = measure(which)?;
            if which { &mut with } else { &mut without }.push(result);
        }
    }
    Ok((with, without))
}

/// Figures in their order, and their median.
pub(crate) fn shown(values: &[f64], unit: &str) -> String {
    format!("{:.0} {unit} (each: {})", median(values), list(values))
}

/// Figures in their order.
pub(crate) fn list(values: &[f64]) -> String {
    let each: Vec<String> = values.iter().map(|value| format!("{value:.0}")).collect();
    each.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_two() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
    }

    #[test]
    fn each_side_goes_first_as_often() {
        let mut order = Vec::new();
        in_turns(2, |with| {
            order.push(with);
            Ok(())
        })
        .expect("nothing fails");
        assert_eq!(order, [true, false, false, true]);
    }

    #[test]
    fn a_missed_aim_is_shown_and_fails_when_strict_alone() {
        let mut figures = Figures::default();
        figures.aim("ratio", 0.9, Bound::AtLeast(0.95), "");
        let expected = "SHORT ratio 0.900, to be at least 0.95";
        assert!(figures.table().contains(expected));
        assert_eq!(figures.exit_code(false), ExitCode::SUCCESS);
        assert_eq!(figures.exit_code(true), ExitCode::FAILURE);
        figures.faults(["lost".to_owned()]);
        assert_eq!(figures.exit_code(false), ExitCode::FAILURE);
    }
}
