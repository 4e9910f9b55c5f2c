//! The receivers of `docs/receivers.md`: each is started as its page says, and gets deliveries of the real
//! webhookd.
//!
//! *Architecture invariant*: of the product's crates only webhook-receiver, to sign requests by hand.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod deliveries;
mod page_blocks;
mod programs;
mod vectors;

/// The secret that the receivers know.
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// A secret that they do not know.
const FOREIGN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Makes each function a test for each language.
macro_rules! in_each_language {
    ($($test:ident)*) => {
        mod python {
            $(#[test] fn $test() { super::$test($crate::programs::Language::Python) })*
        }
        mod node {
            $(#[test] fn $test() { super::$test($crate::programs::Language::Node) })*
        }
        mod go {
            $(#[test] fn $test() { super::$test($crate::programs::Language::Go) })*
        }
        mod rust {
            $(#[test] fn $test() { super::$test($crate::programs::Language::Rust) })*
        }
    };
}

use in_each_language;
