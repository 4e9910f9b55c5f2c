//! `--listen`: events by POST.
//!
//! *Promise*: a 2xx response comes after the sync, and means that no part of the request must be
//! sent again. Requests of one connection are handled one after the other, and the lines of a body
//! in their order.

mod access;
mod answer;
mod batch;
mod batch_answer;
mod body;
mod budget;
mod charset;
mod cloud_events;
mod content_kind;
mod document;
mod handover;
mod options;
mod request_ids;
mod service;

pub(crate) use options::IngestOptions;

use crate::console::Console;
use crate::http::{
    Hosts, Limits, Listener, Reserve, Server, affordable, listen, raise_descriptors,
};
use crate::otlp::Spans;
use crate::sources::inputs::Inputs;
use crate::sources::rejects::RejectSender;
use crate::sources::stats::InputStats;
use access::Access;
use anyhow::{Result, bail};
use budget::Budget;
use handover::Handover;
use hyper::service::service_fn;
use service::Ingest;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use webhook_dispatch::Submitter;

/// Threads that serve, at most. They parse and copy.
const MOST_THREADS: usize = 4;

/// The running ingest.
pub(crate) struct Listening {
    server: Server,
}

/// Open listeners that do not accept connections yet.
pub(crate) struct Opened {
    options: IngestOptions,
    connections: usize,
    max_event_bytes: usize,
    access: Arc<Access>,
    listeners: Vec<Listener>,
}

impl Opened {
    /// Reads the files of tokens and secrets again. If that fails, those in force stay so.
    pub(crate) fn reload_keys(&self) -> impl Fn() -> Result<()> + Send + Sync + 'static {
        let access = Arc::clone(&self.access);
        move || access.reload()
    }

    /// Opens the listeners of the options, and reads the files; `None` without `--listen`.
    ///
    /// # Errors
    /// An address, a file or a bound cannot be used.
    pub(crate) fn open(options: &IngestOptions, max_event_bytes: usize) -> Result<Option<Opened>> {
        if options.listen.is_empty() {
            return Ok(None);
        }
        if options.max_in_flight < 2 * max_event_bytes {
            bail!(
                "--max-in-flight must be at least twice the configuration's maxEventBytes, which \
                 is {max_event_bytes}"
            );
        }
        let connections = affordable(options.max_connections, raise_descriptors()?)?;
        let access = Access::load(
            options.listen_token_file.clone(),
            options.listen_secret_file.clone(),
        )?;
        let mut listeners = Vec::new();
        for address in &options.listen {
            listeners.extend(listen(address, "--listen", "ingest")?);
        }
        Ok(Some(Opened {
            options: options.clone(),
            connections,
            max_event_bytes,
            access: Arc::new(access),
            listeners,
        }))
    }

    /// Accepts events from now on, on threads of its own.
    ///
    /// # Errors
    /// The system refuses them.
    pub(crate) fn start(
        self,
        submitter: Submitter,
        stats: &Arc<InputStats>,
        console: &Console,
        (inputs, rejects): (Inputs, RejectSender),
        spans: Option<Spans>,
    ) -> Result<Listening> {
        let options = &self.options;
        let ingest = Arc::new(Ingest {
            handover: Handover {
                submitter,
                stats: Arc::clone(stats),
                console: console.clone(),
                rejects,
                budget: Budget::new(options.max_in_flight),
                max_event_bytes: self.max_event_bytes,
                sync_timeout: options.sync_timeout,
            },
            inputs,
            access: self.access,
            max_body: options.max_body,
            max_whole: options.max_in_flight / 2,
            body_timeout: options.body_timeout,
            latin1: options.latin1,
            spans,
        });
        let limits = Limits {
            connections: self.connections,
            reserve: Reserve::NONE,
            head_timeout: options.head_timeout,
            idle_timeout: options.idle_timeout,
            head_bytes: options.max_head,
            headers: options.max_headers,
            least_rate: options.min_rate,
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut server = Server::start(threads.min(MOST_THREADS))?;
        for listener in self.listeners {
            console.info(&format!("events are accepted on {listener}"));
            let ingest = Arc::clone(&ingest);
            let hosts = hosts(&listener, &options.listen_host).map(Arc::new);
            let service = service_fn(move |request| {
                let (ingest, hosts) = (Arc::clone(&ingest), hosts.clone());
                async move { Ok::<_, Infallible>(ingest.answer(request, hosts.as_deref()).await) }
            });
            server.serve(listener, None, limits, service)?;
        }
        Ok(Listening { server })
    }
}

/// The hosts that requests to a listener may name; `None` for every host. Only an address of this
/// machine is one that its browsers alone can reach.
fn hosts(listener: &Listener, names: &[String]) -> Option<Hosts> {
    let Listener::Tcp(listener) = listener else {
        return None;
    };
    let bound = listener.local_addr().ok()?.ip();
    bound.is_loopback().then(|| Hosts {
        bound,
        names: names.to_vec(),
        local_hosts: true,
    })
}

impl Listening {
    /// Accepts no more requests, and waits up to `grace` for those under way.
    pub(crate) fn stop(&mut self, grace: Duration) {
        self.server.stop(grace);
    }

    /// Waits up to `grace` for the requests under way, and ends the threads.
    pub(crate) fn shutdown(self, grace: Duration) {
        self.server.shutdown(grace);
    }
}
