//! The admin API: metrics, probes, and endpoints to look at a running program and to repair it; and
//! the page that shows all this in a browser.
//!
//! `docs/openapi.yaml` describes it, and is tested against it.

mod alerts;
mod answer;
mod api;
mod audit;
mod body;
pub(crate) mod client;
mod guard;
mod metrics;
mod options;
mod page;
mod probes;
mod problem;
mod routes;
mod states;
mod vars;

pub(crate) use options::AdminArgs;

use crate::daemon::{Daemon, INTERVAL};
use crate::http::{Limits, Listener, Reserve, Server, ServerTls};
use crate::periodic::Periodic;
use alerts::Evaluator;
use anyhow::Result;
use axum::Router;
use guard::Guard;
use hyper_util::service::TowerToHyperService;
use routes::Routes;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Limits of its connections, for a few operators and their tools. Probes and metrics are answered
/// though other requests hold all common connections.
const LIMITS: Limits = Limits {
    connections: 256,
    reserve: Reserve {
        connections: 16,
        paths: &["/livez", "/readyz", "/metrics"],
    },
    head_timeout: Duration::from_secs(30),
    idle_timeout: Duration::from_secs(120),
    head_bytes: 16 * 1024,
    headers: 100,
    least_rate: 64 * 1024,
};

/// Keeps the history of rates and the alerts that hold. A thread of its own, since it reads the
/// queue's counters, which may wait for the disk.
///
/// # Errors
/// The system refuses the thread.
pub(crate) fn watch(daemon: Arc<Daemon>) -> Result<Periodic> {
    let mut evaluator = Evaluator::default();
    Periodic::start("figures", INTERVAL, move || {
        let snapshot = daemon.snapshot();
        daemon.observe(&snapshot);
        evaluator.evaluate(&daemon, &snapshot);
    })
}

/// Serves the admin API at the address of `--admin`, if there is one, with `tls` if there is any.
///
/// # Errors
/// The address is not valid or in use, or the token cannot be read.
pub(crate) fn listen(
    server: &mut Server,
    args: &AdminArgs,
    tls: Option<&Arc<ServerTls>>,
    daemon: &Arc<Daemon>,
) -> Result<()> {
    for (listener, guard) in args.open()? {
        let shown = args.shown(&listener);
        tracing::info!("the admin API listens on {shown}");
        serve(server, (listener, tls.cloned()), guard, daemon)?;
    }
    Ok(())
}

/// Serves the admin API on a socket in the queue's directory, which this process has locked.
///
/// # Errors
/// The socket cannot be made.
pub(crate) fn listen_in(server: &mut Server, queue: &Path, daemon: &Arc<Daemon>) -> Result<()> {
    let listener = Listener::bind_in(queue, client::SOCKET)?;
    serve(server, (listener, None), Guard::open(), daemon)
}

fn serve(
    server: &mut Server,
    (listener, tls): (Listener, Option<Arc<ServerTls>>),
    guard: Guard,
    daemon: &Arc<Daemon>,
) -> Result<()> {
    let router: Router = routes().guarded(guard, Arc::clone(daemon));
    server.serve(listener, tls, LIMITS, TowerToHyperService::new(router))
}

/// All routes.
fn routes() -> Routes {
    let routes = Routes::default()
        .get("/livez", probes::livez)
        .get("/readyz", probes::readyz)
        .get("/metrics", metrics::answer)
        .get("/vars", vars::text)
        .get("/vars.json", vars::json)
        .get("/page/{file}", page::file);
    api::add(routes).with_index()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let document: Value = serde_saphyr::from_str(api::OPENAPI).unwrap();
        let mut documented = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                documented.insert((method.to_uppercase(), path.clone()));
            }
        }
        let served: BTreeSet<_> = routes()
            .known
            .into_iter()
            .map(|(method, path)| (method.to_string(), path.to_owned()))
            .collect();
        assert_eq!(served, documented);
    }
}
