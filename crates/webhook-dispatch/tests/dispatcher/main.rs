//! Dispatchers from end to end, but for HTTP: with receivers in this process.

mod order;
mod outcomes;
mod restart;
mod submitting;
mod support;
