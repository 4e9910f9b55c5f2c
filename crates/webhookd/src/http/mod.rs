//! Serves HTTP: the runtime, listeners, and the limits of a connection. The services that are
//! passed in decide what to respond.

mod activity;
mod answered;
mod client_tls;
mod connections;
mod limits;
mod listener;
mod origin;
mod peer;
mod server;
mod socket;
mod tls;
mod watched;

pub(crate) use activity::Activity;
pub(crate) use client_tls::ClientTls;
pub(crate) use limits::{Limits, OutOfReserve, Reserve, affordable, raise_descriptors};
pub(crate) use listener::listen;
pub(crate) use origin::{Hosts, is_cross_origin, is_cross_site, is_foreign_fetch};
pub(crate) use peer::Peer;
pub(crate) use server::Server;
pub(crate) use socket::{Listener, connect_in, split_path};
pub(crate) use tls::ServerTls;
