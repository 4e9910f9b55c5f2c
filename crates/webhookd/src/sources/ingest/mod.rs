//! `--listen`: events by POST.
//!
//! *What is promised*: an answer 2xx comes after the sync, and says that nothing of the request is
//! to be sent again. Requests of one connection are taken one after the other, and the lines of a
//! body in their order.

mod answer;
mod auth;
mod batch;
mod body;
mod budget;
mod form;
mod given;
mod handover;
mod options;
mod service;

pub(crate) use options::IngestOptions;

use crate::console::Console;
use crate::http::{Limits, Listener, Server, affordable, listen, raise_descriptors};
use crate::sources::Intake;
use anyhow::{Result, bail};
use auth::Auth;
use budget::Budget;
use handover::Handover;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use webhook_dispatch::Submitter;

/// Threads that serve, at most: what they do is parsing and copying.
const MOST_THREADS: usize = 4;

/// Takes events over HTTP.
pub(super) struct Ingest {
    handover: Handover,
    console: Console,
    budget: Budget,
    auth: Arc<Auth>,
    max_event_bytes: usize,
    max_body: usize,
    /// Bytes of a signed body of lines: with the answers to them, it must fit into what all
    /// requests may take.
    max_signed: usize,
    body_timeout: Duration,
}

/// The running ingest.
pub(crate) struct Listening {
    server: Server,
    auth: Arc<Auth>,
}

impl IngestOptions {
    /// Opens the listeners, and reads the files. Nothing is accepted yet.
    ///
    /// # Errors
    /// An address, a file or a bound cannot be used.
    pub(crate) fn open(&self, max_event_bytes: usize) -> Result<Option<Opened>> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        if self.max_in_flight < 2 * max_event_bytes {
            bail!(
                "--max-in-flight must be twice the configuration's maxEventBytes at least, which \
                 is {max_event_bytes}"
            );
        }
        let connections = affordable(self.max_connections, raise_descriptors()?)?;
        let auth = Auth::load(
            self.listen_token_file.clone(),
            self.listen_secret_file.clone(),
        )?;
        let mut listeners = Vec::new();
        for address in &self.listen {
            listeners.extend(listen(address, "--listen", "ingest")?);
        }
        Ok(Some(Opened {
            options: self.clone(),
            connections,
            max_event_bytes,
            auth: Arc::new(auth),
            listeners,
        }))
    }
}

/// Listeners that nobody is accepted on yet.
pub(crate) struct Opened {
    options: IngestOptions,
    connections: usize,
    max_event_bytes: usize,
    auth: Arc<Auth>,
    listeners: Vec<Listener>,
}

impl Opened {
    /// Takes events from now on, on threads of its own.
    ///
    /// # Errors
    /// The system refuses them.
    pub(crate) fn start(
        self,
        submitter: Submitter,
        intake: &Arc<Intake>,
        console: &Console,
    ) -> Result<Listening> {
        let options = &self.options;
        let ingest = Arc::new(Ingest {
            handover: Handover {
                submitter,
                intake: Arc::clone(intake),
                sync_timeout: options.sync_timeout,
            },
            console: console.clone(),
            budget: Budget::new(options.max_in_flight),
            auth: Arc::clone(&self.auth),
            max_event_bytes: self.max_event_bytes,
            max_body: options.max_body,
            max_signed: options.max_in_flight / 2,
            body_timeout: options.body_timeout,
        });
        let limits = Limits {
            connections: self.connections,
            head_timeout: options.head_timeout,
            idle_timeout: options.idle_timeout,
            head_bytes: options.max_head,
            headers: options.max_headers,
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut server = Server::start(threads.min(MOST_THREADS))?;
        for listener in self.listeners {
            console.say(&format!("events are taken on {listener}"));
            let ingest = Arc::clone(&ingest);
            let service = service_fn(move |request| {
                let ingest = Arc::clone(&ingest);
                async move { Ok::<_, Infallible>(ingest.answer(request).await) }
            });
            server.serve(listener, limits, service)?;
        }
        Ok(Listening {
            server,
            auth: self.auth,
        })
    }
}

impl Listening {
    /// What reads again what peers have to show; if it fails, what was in force stays so.
    pub(crate) fn rereading(&self) -> impl Fn() -> Result<()> + Send + Sync + 'static {
        let auth = Arc::clone(&self.auth);
        move || auth.reload()
    }

    /// Accepts nothing more, and lets requests under way end for up to `grace`.
    pub(crate) fn stop(&mut self, grace: Duration) {
        self.server.stop(grace);
    }

    /// Ends the threads. What is under way has up to `grace` to be answered.
    pub(crate) fn shutdown(self, grace: Duration) {
        self.server.shutdown(grace);
    }
}
