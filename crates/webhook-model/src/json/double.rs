//! Doubles as Java writes them: `Double.toString` of JDK 19 and newer.
//!
//! The digits are the fewest that read back as the same double, but two at least; among these,
//! the nearest to it. The rule is that of Raffaello Giulietti's paper "The Schubfach way to render
//! doubles", which JDK 19 adopted.

use std::fmt::Write as _;

/// The text of a double: at most 24 bytes (`-2.2250738585072014E-308`).
#[derive(Clone, Debug, Default)]
pub(crate) struct DoubleText {
    bytes: [u8; 32],
    length: usize,
}

impl DoubleText {
    /// The text of `double`, which is finite.
    pub(crate) fn new(double: f64) -> Self {
        let mut digits = DoubleText::default();
        digits.scientific(format_args!("{:e}", double.abs()));
        if digits.as_str().find(['e', '.']) == Some(1) && digits.bytes[1] == b'e' {
            // One digit would do; of the decimals with two, the nearest is written.
            digits = DoubleText::default();
            digits.scientific(format_args!("{:.1e}", double.abs()));
        }
        let (mantissa, exponent) = digits.as_str().split_once('e').unwrap_or(("0", "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut text = DoubleText::default();
        if double.is_sign_negative() {
            text.push("-");
        }
        match exponent {
            0..=6 => {
                let shift = exponent as usize;
                let (left, right) = fraction.split_at(shift.min(fraction.len()));
                text.push(whole);
                text.push(left);
                text.zeros(shift - left.len());
                text.push(".");
                text.push(if right.is_empty() { "0" } else { right });
            }
            -3..=-1 => {
                text.push("0.");
                text.zeros((-1 - exponent) as usize);
                text.push(whole);
                // `1.0` without its point has a nought too many at its end.
                text.push(fraction.trim_end_matches('0'));
            }
            _ => {
                text.push(whole);
                text.push(".");
                text.push(if fraction.is_empty() { "0" } else { fraction });
                text.push("E");
                // Writing to this buffer cannot fail: it is longer than any double.
                text.scientific(format_args!("{exponent}"));
            }
        }
        text
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn scientific(&mut self, text: std::fmt::Arguments<'_>) {
        self.write_fmt(text)
            .expect("the buffer is longer than any double");
    }

    fn push(&mut self, text: &str) {
        self.scientific(format_args!("{text}"));
    }

    fn zeros(&mut self, count: usize) {
        for _ in 0..count {
            self.push("0");
        }
    }
}

impl std::fmt::Write for DoubleText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        let place = self
            .bytes
            .get_mut(self.length..end)
            .ok_or(std::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
