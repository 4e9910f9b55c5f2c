//! Dead letters, as the commands see them and whatever else an operator asks by.

pub(crate) mod filter;

pub(crate) use filter::{Filter, Words};
