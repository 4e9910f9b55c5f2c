//! `--admin`: what operators and their tools ask of a running program.
//!
//! `docs/openapi.yaml` says what is answered, and is tested against it.

mod api;
pub(crate) mod client;
mod guard;
mod local;
mod metrics;
mod options;
mod probes;
mod problem;
mod routes;
mod vars;

pub(crate) use options::AdminArgs;

use crate::daemon::Daemon;
use crate::http::{Limits, Server};
use anyhow::Result;
use axum::Router;
use guard::Guard;
use hyper_util::service::TowerToHyperService;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What its connections may use: operators and their tools are few.
const LIMITS: Limits = Limits {
    connections: 256,
    head_timeout: Duration::from_secs(30),
    idle_timeout: Duration::from_secs(120),
    head_bytes: 16 * 1024,
    headers: 100,
};

/// Answers operators on the address that they asked for, if they did.
///
/// # Errors
/// An address is none, or is taken; or the token cannot be read.
pub(crate) fn listen(server: &mut Server, args: &AdminArgs, daemon: &Arc<Daemon>) -> Result<()> {
    for (listener, guard) in args.open()? {
        tracing::info!("operators are answered on {listener}");
        serve(server, listener, guard, daemon)?;
    }
    Ok(())
}

/// Answers the commands that repair, on a socket in the queue's directory.
///
/// # Errors
/// The socket cannot be made.
pub(crate) fn listen_in(server: &mut Server, queue: &Path, daemon: &Arc<Daemon>) -> Result<()> {
    let listener = crate::http::Listener::Unix(local::bind(queue)?);
    serve(server, listener, Guard::of_the_file_system(), daemon)
}

fn serve(
    server: &mut Server,
    listener: crate::http::Listener,
    guard: Guard,
    daemon: &Arc<Daemon>,
) -> Result<()> {
    let router: Router = routes::all().guarded(guard, Arc::clone(daemon));
    server.serve(listener, LIMITS, TowerToHyperService::new(router))
}
