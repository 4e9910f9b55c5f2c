//! Serving HTTP: the runtime, listeners, and the limits of a connection. What is answered is the
//! business of the services that are handed in.

mod activation;
mod activity;
mod limits;
mod listener;
mod server;
mod watched;

pub(crate) use activity::Activity;
pub(crate) use limits::{Limits, affordable, raise_descriptors};
pub(crate) use listener::Listener;
pub(crate) use server::Server;
