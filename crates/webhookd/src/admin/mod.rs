//! `--admin`: what operators and their tools ask of a running program.

mod local;

use crate::console::Console;
use crate::http::{Limits, Listener, Server};
use anyhow::Result;
use axum::Router;
use axum::routing::get;
use hyper_util::service::TowerToHyperService;
use std::path::Path;
use std::time::Duration;

/// What its connections may use: operators and their tools are few.
const LIMITS: Limits = Limits {
    connections: 256,
    head_timeout: Duration::from_secs(30),
    head_bytes: 16 * 1024,
    headers: 100,
};

/// What is answered, on whatever listener.
pub(crate) fn routes() -> Router {
    Router::new().route("/livez", get(async || "ok\n"))
}

/// Answers operators on `address`; a port alone is one of 127.0.0.1.
///
/// # Errors
/// The address is none, or is taken.
pub(crate) fn listen(
    server: &mut Server,
    address: &str,
    routes: Router,
    console: &Console,
) -> Result<()> {
    let listener = if address.contains(':') {
        Listener::bind(address, "--admin")?
    } else {
        Listener::bind(&format!("127.0.0.1:{address}"), "--admin")?
    };
    console.say(&format!("operators are answered on {listener}"));
    server.serve(listener, LIMITS, TowerToHyperService::new(routes))
}

/// Answers the commands that repair, on a socket in the queue's directory.
///
/// # Errors
/// The socket cannot be made.
pub(crate) fn listen_in(server: &mut Server, queue: &Path, routes: Router) -> Result<()> {
    let listener = Listener::Unix(local::bind(queue)?);
    server.serve(listener, LIMITS, TowerToHyperService::new(routes))
}
