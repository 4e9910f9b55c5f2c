//! The running program: starts its parts, waits for the end, and stops them.

use super::args::{EventsFile, RunArgs};
use super::deliveries::{has_queue, start_dispatcher};
use super::state_dir::StateDir;
use crate::admin;
use crate::console::{Console, chain, complain};
use crate::daemon::{BackgroundTasks, Daemon, epoch_ms};
use crate::delivery_log::DeliveryLog;
use crate::http::Server;
use crate::log::{self, LogObserver, LogWriter};
use crate::messages::Message;
use crate::notices;
use crate::notify;
use crate::otlp::Otlp;
use crate::periodic::Periodic;
use crate::reload::{ConfigFile, Look, ReloadThread, Reloader};
use crate::signals::Signals;
use crate::sources::{
    Acks, Feeder, Follower, InputStats, Inputs, Listening, Opened, Rejects, Report, Stream,
};
use crate::summary::Summary;
use anyhow::{Context, Result, bail};
use crossbeam_channel::Receiver;
use indicatif::HumanBytes;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use webhook_config::{Config, QueueSettings};
use webhook_dispatch::{Dispatcher, Monitor, Stats};
use webhook_queue::QueueError;

/// Threads that serve the admin API.
const HTTP_THREADS: usize = 2;
/// How long HTTP requests under way may take to end, once all deliveries have ended.
const HTTP_GRACE: Duration = Duration::from_secs(1);
/// How often it is tried again to save a deleted queue.
const SAVE_PAUSE: Duration = Duration::from_secs(1);
/// How long dead letters may be read for the exit status.
const READ_TIME: Duration = Duration::from_secs(1);
/// How often progress is shown.
const PROGRESS: Duration = Duration::from_millis(100);

/// The parts of the running program, in the order in which they stop: first what accepts events,
/// then what delivers them, then what reports on that.
pub(super) struct Runtime {
    /// Ends the sources and the waiting. A second signal ends the process.
    signals: Arc<Signals>,
    /// The threads that read standard input and files. Each sends a message when it ends.
    sources: usize,
    messages: Receiver<Message>,
    /// The threads that read streams. Each ends with a signal.
    streams: Vec<JoinHandle<()>>,
    /// Accepts no more requests at first, so that the deliveries can come to an end. Its threads
    /// end after the dispatcher, since responses wait for commits.
    listening: Option<Listening>,
    /// Unready from here on.
    daemon: Arc<Daemon>,
    dispatcher: Dispatcher,
    /// The admin API: it shows the shutdown.
    server: Server,
    background: BackgroundTasks,
    figures: Periodic,
    progress: Option<Periodic>,
    /// Logs the lines that it has left out.
    console: Console,
    /// Last of the threads, since each event that is committed may have an acknowledgement.
    acks: Option<Acks>,
    rejects: Rejects,
    delivery_log: Option<DeliveryLog>,
    otlp: Option<Otlp>,
    stats: Arc<InputStats>,
    started: Instant,
    started_at: SystemTime,
    /// Held while the files in it are used: if the queue is a database.
    _state_dir: Option<StateDir>,
}

impl Runtime {
    /// Starts all parts. `look` is where `config` comes from.
    ///
    /// # Errors
    /// An option, the input, the queue or the system is at fault. No event was read.
    pub(super) fn start(
        args: &RunArgs,
        file: ConfigFile,
        look: Look,
        config: Config,
        writer: &LogWriter,
    ) -> Result<Runtime> {
        let max_event_bytes = config.max_event_bytes();
        // The directory of the queue, or of the files beside a database.
        let directory = config.queue().dir().to_owned();
        let has_queue = has_queue(&config);
        let opened = Opened::open(&args.ingest, max_event_bytes)?;
        let files = args.event_files(&config)?;
        let mut lines = Vec::new();
        for file in files.iter().filter(|_| !args.follow) {
            lines.push((file.open(&config)?, Arc::clone(&file.input)));
        }
        let streams = Stream::of(config.sources());
        let mut server = Server::start(HTTP_THREADS)?;
        args.check_outputs()?;
        let acks = args.acks.as_deref().map(Acks::start).transpose()?;
        let delivery_log = args.delivery_log.as_deref();
        let delivery_log = delivery_log.map(DeliveryLog::start).transpose()?;
        let deliveries = delivery_log.as_ref().map(DeliveryLog::sender);
        let otlp = args.otlp.as_deref().map(Otlp::start).transpose()?;
        let spans = otlp.as_ref().map(Otlp::spans);
        let signals = Arc::new(Signals::install()?);
        // The length of all inputs, if each has one.
        let length = lines.iter().map(|(file, _)| file.length()).sum();
        let console = Console::new(length, writer);
        let stats = Arc::new(InputStats::default());
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let observer = Arc::new(LogObserver::new(
            console.limited_log().clone(),
            deliveries.clone(),
        ));
        let is_shared = has_queue && config.queue().postgres().is_some();
        let state_dir = is_shared.then(|| StateDir::lock(&directory)).transpose()?;
        let dispatcher = start_dispatcher(
            &config,
            (&observer, spans.as_ref()),
            args.queue_lock_timeout,
            &signals,
        )?;
        // A run that only reads files to their end says all in its summary.
        let is_short = length.is_some() && !lines.is_empty() && streams.is_empty();
        log_start(config.queue(), &dispatcher.monitor(), is_short);
        let progress = show_progress(&console, dispatcher.monitor(), &stats)?;
        let reloader = Arc::new(Reloader::new(file, look, dispatcher.control()));
        let admin_tls = args.admin.tls()?;
        let reload_keys = opened.as_ref().map(Opened::reload_keys);
        let of_files = files.iter().map(|file| Arc::clone(&file.input));
        let needed: Vec<Arc<str>> = of_files.chain(streams.iter().map(Stream::input)).collect();
        let log_to_reopen = deliveries.clone();
        let reloaded_tls = admin_tls.clone();
        reloader.also(move |config| {
            if let Some(deliveries) = &log_to_reopen {
                deliveries.reopen();
            }
            if let Some(gone) = needed.iter().find(|name| config.input(name).is_none()) {
                bail!("a source reads the input {gone}, which the file no longer has");
            }
            if let Some(tls) = &reloaded_tls {
                tls.reload().context("the certificate of --admin")?;
            }
            reload_keys.as_ref().map_or(Ok(()), |reload| reload())
        });
        let daemon = Arc::new(Daemon::new(
            dispatcher.control(),
            dispatcher.monitor(),
            Arc::clone(&stats),
            Arc::clone(&reloader),
            args.source_names(streams.iter().map(Stream::name)),
            streams.iter().map(Stream::stats).collect(),
        ));
        if has_queue {
            admin::listen_in(&mut server, &directory, &daemon)?;
        }
        admin::listen(&mut server, &args.admin, admin_tls.as_ref(), &daemon)?;

        let (sender, messages) = crossbeam_channel::unbounded();
        let reload = ReloadThread::start(Arc::clone(&reloader), args.reload.watch)?;
        let reloads = reload.requests();
        let reopen = move || {
            if let Some(deliveries) = &deliveries {
                deliveries.reopen();
            }
        };
        signals.start(sender.clone(), move || reloads.send(), reopen)?;
        let inputs_in_force = Inputs::new(dispatcher.control(), Arc::clone(&stats));
        let rejects = Rejects::start(directory.clone())?;
        let feeder_with = |source: Option<&str>, acks, input: Arc<str>| {
            let report = Report::new(source, console.clone(), acks, Arc::clone(&stats), &input);
            let (submitter, inputs) = (dispatcher.submitter(), inputs_in_force.clone());
            let signals = Arc::clone(&signals);
            Feeder::new(
                submitter,
                report,
                signals,
                (inputs, input),
                rejects.sender(),
            )
        };
        let feeder = |source: &str, input: Arc<str>| {
            let source = (args.events.len() > 1).then_some(source);
            let acks = acks.as_ref().map(|acks| acks.sender(source));
            feeder_with(source, acks, input)
        };
        let mut sources = 0;
        for (file, input) in lines {
            let feeder = feeder(file.name(), input);
            file.start(feeder, sender.clone())?;
            sources += 1;
        }
        for file in files.into_iter().filter(|_| args.follow) {
            if let Some(hint) = file.hint(&config) {
                tracing::warn!("waiting for the file {}: {hint}", file.path.display());
            }
            let EventsFile { input, path } = file;
            let feeder = feeder(&path.display().to_string(), input);
            let follower = Follower::new(path, directory.clone(), max_event_bytes, feeder);
            follower.start(sender.clone())?;
            sources += 1;
        }
        let streams = streams.into_iter().map(|stream| {
            // The cursor acknowledges.
            let feeder = feeder_with(Some(stream.name()), None, stream.input());
            stream.start(&directory, max_event_bytes, feeder, &signals)
        });
        let streams = streams.collect::<Result<_>>()?;
        let listening = opened
            .map(|opened| {
                let inputs = (inputs_in_force, rejects.sender());
                opened.start(dispatcher.submitter(), &stats, &console, inputs, spans)
            })
            .transpose()?;
        let figures = admin::watch(Arc::clone(&daemon))?;
        let notices = notices::start(&daemon, dispatcher.submitter(), observer.causes())?;
        let threads = (reload, notices);
        let background = BackgroundTasks::start(&daemon, &console, threads, Arc::clone(&signals))?;
        Ok(Runtime {
            signals,
            sources,
            messages,
            streams,
            listening,
            daemon,
            dispatcher,
            server,
            background,
            figures,
            progress,
            console,
            acks,
            rejects,
            delivery_log,
            otlp,
            stats,
            started,
            started_at,
            _state_dir: state_dir,
        })
    }

    /// Waits until all sources have ended. With an HTTP listener or a stream, it waits for a signal,
    /// too.
    ///
    /// # Errors
    /// A source failed.
    pub(super) fn wait(&self) -> Result<()> {
        let mut running = self.sources;
        let mut end_requested = self.listening.is_none() && self.streams.is_empty();
        while running > 0 || !end_requested {
            match self.messages.recv() {
                Ok(Message::SourceEnded(result)) => {
                    result?;
                    running -= 1;
                }
                // The sources see the signal themselves, and end one after the other.
                Ok(Message::EndRequested) => end_requested = true,
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Stops all parts. Returns the summary, and whether the queue worked to the end and all
    /// acknowledgements were written. After a signal, `grace` bounds the shutdown. At the end of the
    /// input, with `drain`, it first waits until no delivery has succeeded for as long as `grace`.
    pub(super) fn stop(mut self, grace: Duration, drain: bool) -> (Summary, Result<()>) {
        let mut ending = Instant::now();
        let told = self.log_end(grace);
        self.end_streams();
        if let Some(listening) = &mut self.listening {
            // Requests under way get the first half of the grace, the deliveries the rest: nothing
            // can be drained while events arrive.
            listening.stop(grace / 2);
        }
        if drain && !self.signals.end_requested() {
            // What is not delivered in time is counted below.
            let _drained = self.dispatcher.drain(Some(grace), self.signals.flag());
        }
        // A signal during the drain has the whole grace, too.
        if !told && self.log_end(grace) {
            ending = Instant::now();
        }
        let left = match self.signals.end_requested() {
            true => {
                if let Some(deadline) = ending.checked_add(grace) {
                    log::finish_by(deadline);
                }
                grace.saturating_sub(ending.elapsed())
            }
            false => Duration::ZERO,
        };
        if let Some(acks) = &self.acks {
            acks.set_deadline(grace);
        }
        self.daemon.stop();
        let failure = self.daemon.take_failure();
        // The queue's content may have to be written back, which can take longer than systemd waits.
        let left = match failure {
            Some(_) => Duration::ZERO,
            None => {
                notify::stopping();
                left
            }
        };
        let report = self.dispatcher.shutdown(left);
        let saved = match &report.unsaved {
            Some(error) if self.daemon.is_shared() => {
                let error = chain(&**error);
                tracing::warn!("the other workers take over when the lease has ended: {error}");
                Ok(())
            }
            Some(_) => save_queue(&self.daemon, grace),
            None => Ok(()),
        };
        let failure = failure.or_else(|| self.daemon.take_failure());
        if let Some(listening) = self.listening {
            listening.shutdown(HTTP_GRACE);
        }
        self.server.shutdown(HTTP_GRACE);
        self.background.stop();
        self.figures.stop();
        if let Some(progress) = self.progress {
            progress.stop();
        }
        self.rejects.finish(HTTP_GRACE);
        if let Some(delivery_log) = self.delivery_log {
            delivery_log.finish();
        }
        if let Some(otlp) = self.otlp {
            otlp.finish();
        }
        self.console.finish();
        let acknowledged = self.acks.map_or(Ok(()), Acks::finish);
        let queue = saved.and(failure.map_or(Ok(()), Err));
        let took = self.started.elapsed();
        // The earlier of two, since the clock may have been set meanwhile.
        let since = SystemTime::now().checked_sub(took);
        let since = since.map_or(self.started_at, |since| since.min(self.started_at));
        let dead = keeps_dead_letters(&self.daemon, &report.stats, since);
        let summary = Summary::new(self.stats.counts(), &report, dead, took);
        (summary, queue.map_err(Into::into).and(acknowledged))
    }

    /// Logs what the shutdown waits for, if a signal has asked for the end.
    fn log_end(&self, grace: Duration) -> bool {
        let cause = self.signals.end_cause();
        if let Some(cause) = cause {
            log_end(cause, grace, &self.daemon);
        }
        cause.is_some()
    }
}

impl Runtime {
    /// Joins the threads that read streams, which end with a signal, or because a source has failed.
    fn end_streams(&mut self) {
        if self.streams.is_empty() {
            return;
        }
        self.signals.request_end();
        for stream in self.streams.drain(..) {
            // A thread that panicked has said so; the program ends now in any case.
            drop(stream.join());
        }
    }
}

/// Saves what a deleted queue holds, and tries again while that fails, up to `longest`.
fn save_queue(daemon: &Daemon, longest: Duration) -> Result<(), QueueError> {
    let deadline = Instant::now() + longest;
    loop {
        match daemon.control.close_queue() {
            Err(error) if Instant::now() < deadline => {
                complain(&format!(
                    "the events in the queue cannot be saved, trying again: {}",
                    chain(&error)
                ));
                std::thread::sleep(SAVE_PAUSE);
            }
            result => return result,
        }
    }
}

/// Logs what starts, and what the queue holds from before; nothing if the run is short and that is
/// nothing.
fn log_start(settings: &QueueSettings, monitor: &Monitor, is_short: bool) {
    let version = env!("CARGO_PKG_VERSION");
    if monitor.writer().is_none() {
        if !is_short {
            tracing::info!(version, "webhookd {version} has started, without a queue");
        }
        return;
    }
    // If it cannot be read, the deliveries say so.
    let held = monitor.stats().map(|stats| stats.queue).unwrap_or_default();
    let pending: u64 = held.targets.iter().map(|target| target.pending).sum();
    let dead_letters: u64 = held.targets.iter().map(|target| target.dead).sum();
    if is_short && pending + dead_letters == 0 {
        return;
    }
    let (used, most) = (HumanBytes(held.bytes), HumanBytes(held.max_bytes));
    let queue = settings.location();
    tracing::info!(
        version,
        queue,
        pending,
        dead_letters,
        "webhookd {version} has started; queue {queue}: pending {pending}, dead letters \
         {dead_letters}, {used} of {most} used"
    );
}

/// Logs what the shutdown waits for.
fn log_end(cause: &str, grace: Duration, daemon: &Daemon) {
    let (stats, _) = daemon.glance();
    let pending: u64 = stats.targets.iter().map(|target| target.pending).sum();
    let in_flight: u64 = stats.targets.iter().map(|target| target.in_flight).sum();
    let grace_seconds = grace.as_secs_f64();
    tracing::info!(
        cause,
        grace_seconds,
        pending,
        in_flight,
        "{cause}: ending; waiting up to {grace:?} for deliveries: pending {pending}, in flight \
         {in_flight}"
    );
}

/// Whether dead letters of this run are still kept, or were dropped by an operator instead of being
/// replayed. At most a bounded number of them is read; if there are more, they count as kept.
fn keeps_dead_letters(daemon: &Daemon, stats: &Stats, since: SystemTime) -> bool {
    let since = epoch_ms(since);
    let deadline = Instant::now() + READ_TIME;
    stats.targets.iter().chain(&stats.removed).any(|target| {
        let mut found = false;
        let read = target.dead_letters() == 0
            || daemon
                .control
                .dead_letters(Some(&target.name), None, &mut |letter| {
                    found = letter.died_at >= since || Instant::now() > deadline;
                    match found {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                })
                .is_ok();
        found || !read || target.dead_letters() > 0 && daemon.has_dropped()
    })
}

/// Shows progress a few times a second, on a terminal.
fn show_progress(
    console: &Console,
    monitor: Monitor,
    stats: &Arc<InputStats>,
) -> Result<Option<Periodic>> {
    if !console.shows_progress() {
        return Ok(None);
    }
    let (console, stats) = (console.clone(), Arc::clone(stats));
    let show = move || {
        let progress = monitor.progress();
        let message = format!(
            "{} delivered, {} failed, {} pending",
            progress.delivered, progress.failed, progress.pending
        );
        console.progress(stats.bytes(), message);
    };
    Periodic::start("progress", PROGRESS, show).map(Some)
}
