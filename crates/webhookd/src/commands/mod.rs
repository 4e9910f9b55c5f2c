//! One file a subcommand.

pub(crate) mod receive;
pub(crate) mod check;
pub(crate) mod config_show;
pub(crate) mod schema;
