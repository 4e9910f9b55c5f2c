//! Serving HTTP: the runtime, listeners, and the limits of a connection. What is answered is the
//! business of the services that are handed in.

mod listener;
mod server;

pub(crate) use listener::Listener;
pub(crate) use server::{Limits, Server};
