//! Starts the deliveries: opens the queue, and waits for it while another program uses it.

use crate::commands;
use crate::console::chain;
use crate::database;
use crate::log::LogObserver;
use crate::otlp::Spans;
use crate::signals::Signals;
use anyhow::Result;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_config::{Config, Delivery};
use webhook_dispatch::Dispatcher;
use webhook_queue::QueueError;
use webhook_queue_postgres::Role;

/// How often a queue is tried again that another program has open.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Whether a target needs the queue.
pub(super) fn has_queue(config: &Config) -> bool {
    let mut targets = config.targets().iter();
    targets.any(|target| target.delivery() == Delivery::Reliable)
}

/// Starts the deliveries, which report to an observer and a tracer, once no other program has the queue open and its database can be reached.
///
/// # Errors
/// The queue or a target's settings cannot be used, or the wait is over, or a signal has ended it.
pub(super) fn start_dispatcher(
    config: &Config,
    watching: (&Arc<LogObserver>, Option<&Spans>),
    longest: Duration,
    signals: &Signals,
) -> Result<Dispatcher> {
    let deadline = Instant::now() + longest;
    let mut waits = false;
    loop {
        let error = match try_to_start(config, watching, signals) {
            Err(error) if Instant::now() < deadline => error,
            result => return result,
        };
        let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
        let waiting = causes.find(|cause| {
            matches!(
                cause,
                QueueError::Locked { .. } | QueueError::Unavailable { .. }
            )
        });
        let Some(cause) = waiting else {
            return Err(error);
        };
        if !std::mem::replace(&mut waits, true) {
            tracing::info!("{}; waiting for it up to {longest:?}", chain(cause));
        }
        if signals.pause(LOCK_PAUSE) {
            return Err(error);
        }
    }
}

fn try_to_start(
    config: &Config,
    watching: (&Arc<LogObserver>, Option<&Spans>),
    signals: &Signals,
) -> Result<Dispatcher> {
    let (observer, spans) = watching;
    let mut builder = Dispatcher::builder(config.clone()).observer(observer.clone());
    if let Some(spans) = spans {
        builder = builder.tracer(Arc::new(spans.clone()));
    }
    let settings = config.queue();
    let builder = match settings.postgres() {
        _ if !has_queue(config) => builder,
        Some(postgres) => builder.queue(database::open(settings, postgres, Role::Worker)?),
        None => {
            commands::queue::check_unclosed(settings.dir(), signals)?;
            builder
        }
    };
    Ok(builder.start()?)
}
