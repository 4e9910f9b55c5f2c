//! Dead letters, for the commands and the admin API.

pub(crate) mod filter;
mod letter;
mod matching;
mod moment;
mod status;

pub(crate) use filter::{Filter, FilterText};
pub(crate) use letter::Letter;
pub(crate) use matching::matching;
