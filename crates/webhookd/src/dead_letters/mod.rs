//! Dead letters, as the commands see them and whatever else an operator asks by.

pub(crate) mod filter;
mod letter;
mod matching;

pub(crate) use filter::{Filter, Words};
pub(crate) use letter::Letter;
pub(crate) use matching::matching;
