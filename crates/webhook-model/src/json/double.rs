//! Writes doubles like Java: `Double.toString` of JDK 19 and newer.
//!
//! The digits are the fewest that read back as the same double; of several such, the nearest to it;
//! of two equally near, the even ones. At least two digits are written: if one would suffice, the
//! nearest two with the same exponent. So the smallest double is `4.9E-324` and the next
//! `1.0E-323`.

use std::fmt::{self, Write as _};

/// The text of a double.
#[derive(Clone, Debug, Default)]
pub(crate) struct DoubleText {
    /// Long enough for any double: `-2.2250738585072014E-308` has 24 bytes.
    bytes: [u8; 32],
    length: usize,
}

impl DoubleText {
    /// The text of `double`, which is finite.
    pub(crate) fn new(double: f64) -> Self {
        let digits = digits(double.abs());
        let (mantissa, exponent) = parts(&digits);
        let exponent: i32 = exponent.parse().unwrap_or_default();
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut text = DoubleText::default();
        if double.is_sign_negative() {
            text.push("-");
        }
        match exponent {
            0..=6 => {
                let places = exponent as usize;
                let (left, right) = fraction.split_at(places.min(fraction.len()));
                text.append(format_args!("{whole}{left:0<places$}.{}", or_zero(right)));
            }
            -3..=-1 => {
                let zeros = (-1 - exponent) as usize;
                // Without the point, `1.0` has an extra zero at its end.
                let fraction = fraction.trim_end_matches('0');
                text.append(format_args!("0.{:0<zeros$}{whole}{fraction}", ""));
            }
            _ => text.append(format_args!("{whole}.{}E{exponent}", or_zero(fraction))),
        }
        text
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn push(&mut self, text: &str) {
        self.append(format_args!("{text}"));
    }

    fn append(&mut self, text: fmt::Arguments<'_>) {
        self.write_fmt(text)
            .expect("no double's text is longer than the buffer");
    }
}

/// The digits of a double that is not negative, as `1.5e-7` or `1e21`.
fn digits(double: f64) -> DoubleText {
    let mut shortest = DoubleText::default();
    shortest.append(format_args!("{double:e}"));
    let count = parts(&shortest).0.len().max(2) - 1;
    // Different decimals of up to 15 digits never read back as the same normal double, so these
    // digits are the only ones of this length, and a second digit would be 0.
    if count <= 15 && (double.is_normal() || double == 0.0) {
        return shortest;
    }
    // There may be two equally near decimals of this length. Java takes the even one, as rounding
    // to this length does.
    let mut nearest = DoubleText::default();
    let precision = count.max(2) - 1;
    nearest.append(format_args!("{double:.precision$e}"));
    let same_exponent = parts(&nearest).1 == parts(&shortest).1;
    if same_exponent && nearest.as_str().parse() == Ok(double) {
        nearest
    } else {
        shortest
    }
}

/// The digits after the point, at least one.
fn or_zero(digits: &str) -> &str {
    if digits.is_empty() { "0" } else { digits }
}

/// The mantissa and the exponent.
fn parts(digits: &DoubleText) -> (&str, &str) {
    digits.as_str().split_once('e').unwrap_or_default()
}

impl fmt::Write for DoubleText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let place = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
