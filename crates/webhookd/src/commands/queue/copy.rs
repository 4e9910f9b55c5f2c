//! `webhookd queue copy`: copies what a queue holds into another one.

mod content;
mod end;

use super::super::output_format::OutputFormat;
use crate::console::{complain, output};
use anyhow::{Context, Result, bail};
use content::{Content, State, Stored};
use end::{End, check_unused};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use webhook_queue::{
    EntryId, Event, Queue, QueueError, Settled, Settlement, SettlementResult, SlotGuard,
};

/// Events in one commit, at most.
const GROUP: usize = 256;
/// Bytes of their bodies, about.
const GROUP_BYTES: usize = 2 << 20;
/// How often a commit is tried whose connection was lost, and outcomes whose claim had ended.
const TRIES: usize = 20;
/// The time between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Copy what a queue holds into another: from a directory to a database, and back
///
/// Copies the events owed to each target, with their ids, their order and their attempts; dead
/// letters; and until when a receiver has asked to wait. Does not copy idempotency keys and last
/// states: an event that its sender repeats after the copy is delivered again, and the first event
/// of each key counts as a change (onlyChanges).
///
/// Both queues must be unused: stop webhookd first. An interrupted copy goes on when it is repeated,
/// and copies nothing twice. The queue that is copied from is not changed; do not deliver from it
/// afterwards, since its events would be delivered twice.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CopyArgs {
    /// The queue to copy from: a directory, or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "DIR|URL", required_unless_present = "from_config")]
    from: Option<PathBuf>,

    /// The webhook.json that names the queue to copy from
    #[arg(long, value_name = "PATH", conflicts_with = "from")]
    from_config: Option<PathBuf>,

    /// The queue to copy to, which is empty or does not exist
    #[arg(long, value_name = "DIR|URL", required_unless_present = "to_config")]
    to: Option<PathBuf>,

    /// The webhook.json that names the queue to copy to
    #[arg(long, value_name = "PATH", conflicts_with = "to")]
    to_config: Option<PathBuf>,

    /// The output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// What was copied, as `--format json` prints it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Copied {
    events: u64,
    /// Of these, events that an earlier run had copied.
    copied_before: u64,
    /// Damaged records, which were left out.
    quarantined: u64,
    targets: BTreeMap<String, Counts>,
}

/// What was copied of one target.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    pending: u64,
    dead_letters: u64,
    kept: u64,
}

/// Copies, and prints what was copied.
///
/// # Errors
/// A queue is in use, cannot be opened, or fails; or the target holds something else.
pub(super) fn run(args: &CopyArgs) -> Result<ExitCode> {
    let from = End::new(args.from.as_deref(), args.from_config.as_deref())?;
    let to = End::new(args.to.as_deref(), args.to_config.as_deref())?;
    if from.is_same(&to) {
        bail!("the queue to copy from and the queue to copy to are the same");
    }
    let source = from.open_source()?;
    let target = to.open_target()?;
    let mut copied = copy(&*source, &*target)?;
    for queue in [&source, &target] {
        check_unused(&**queue)?;
    }
    check_counts(&*target, &mut copied)?;
    copied.quarantined = source.statistics()?.corrupt;
    target.close().context("cannot close the queue")?;
    let mut out = output();
    match args.format {
        OutputFormat::Json => writeln!(out, "{}", serde_json::to_string(&copied)?)?,
        OutputFormat::Text => copied.write_text(&mut out)?,
    }
    if copied.quarantined > 0 {
        complain(&format!(
            "{} damaged records of {} were not copied",
            copied.quarantined,
            from.location()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Copies all events. Those that the target has already must be the first ones of the source, in the
/// same order.
fn copy(source: &dyn Queue, target: &dyn Queue) -> Result<Copied> {
    let statistics = source.statistics()?;
    let entries = statistics
        .targets
        .iter()
        .map(|it| it.pending + it.dead + it.kept);
    let bar = ProgressBar::new(entries.sum()).with_style(
        ProgressStyle::with_template("{bar:30} {pos} of {len} copied")
            .expect("the template is valid"),
    );
    let mut copied = Copied::default();
    let mut events = Content::of(source)?;
    let mut before = Content::of(target)?;
    let mut group = Vec::new();
    let mut bytes = 0;
    while let Some(event) = events.next()? {
        copied.count(&event);
        bar.inc(event.states.len() as u64);
        match before.next()? {
            Some(there) => {
                check_started(&event, &there)?;
                copied.copied_before += 1;
                settle(target, vec![(there.entry, event, there.states)])?;
            }
            None => {
                bytes += event.event.body.len();
                group.push(event);
            }
        }
        if group.len() == GROUP || bytes >= GROUP_BYTES {
            append(target, std::mem::take(&mut group))?;
            bytes = 0;
        }
    }
    if before.next()?.is_some() {
        bail!(NOT_STARTED);
    }
    append(target, group)?;
    copy_holds(source, target)?;
    bar.finish_and_clear();
    Ok(copied)
}

const NOT_STARTED: &str = "the queue to copy to holds other events than the beginning of this copy: \
     name one that is empty or does not exist";

/// Checks that the event that the target has at this place is that of the source.
fn check_started(event: &Stored, there: &Stored) -> Result<()> {
    let is_same = event.event.id == there.event.id
        && event.event.key == there.event.key
        && event.event.body == there.event.body
        && event.states.keys().eq(there.states.keys());
    match is_same {
        true => Ok(()),
        false => bail!(NOT_STARTED),
    }
}

/// Stores events, and then what became of them so far.
fn append(target: &dyn Queue, group: Vec<Stored>) -> Result<()> {
    if group.is_empty() {
        return Ok(());
    }
    let events: Vec<Event> = group.iter().map(|stored| stored.event.clone()).collect();
    let committed = retried(|| target.commit(&events, &[]));
    let committed = committed.context(
        "what was copied so far is kept, and the copy goes on when it is repeated; \
         --to-config names a configuration with another queue.maxBytes",
    )?;
    let mut stored = Vec::with_capacity(group.len());
    for (accepted, event) in committed.accepted.iter().zip(group) {
        let Some(entry) = accepted.entry() else {
            bail!("an event was not stored: {accepted:?}");
        };
        let fresh = State::Owed {
            attempts: 0,
            not_before: 0,
        };
        let states = event
            .states
            .keys()
            .map(|it| (Arc::clone(it), fresh.clone()));
        let states = states.collect();
        stored.push((entry, event, states));
    }
    settle(target, stored)
}

/// A commit, which is repeated if the connection was lost.
fn retried<T>(commit: impl Fn() -> Result<T, QueueError>) -> Result<T, QueueError> {
    let mut tries = TRIES;
    loop {
        match commit() {
            Err(QueueError::Unknown { .. }) if tries > 0 => tries -= 1,
            result => return result,
        }
    }
}

type States = BTreeMap<Arc<str>, State>;

/// Makes the states of stored entries those of the source.
fn settle(target: &dyn Queue, stored: Vec<(EntryId, Stored, States)>) -> Result<()> {
    let mut wanted: BTreeMap<Arc<str>, HashMap<EntryId, State>> = BTreeMap::new();
    for (entry, event, there) in stored {
        for (name, state) in event.states {
            if there.get(&name).is_none_or(|there| !there.is_like(&state)) {
                wanted.entry(name).or_default().insert(entry, state);
            }
        }
    }
    for attempt in 0..TRIES {
        wanted.retain(|_, entries| !entries.is_empty());
        if wanted.is_empty() {
            return Ok(());
        }
        if attempt > 0 {
            // The lease was lost, and the slots are claimed again.
            std::thread::sleep(PAUSE);
        }
        let mut settlements = Vec::new();
        for (name, entries) in &wanted {
            settlements.extend(settlements_of(target, name, entries)?);
        }
        let committed = retried(|| target.commit(&[], &settlements))?;
        for (settlement, result) in settlements.iter().zip(committed.settled) {
            if result != SettlementResult::Fenced
                && let Some(entries) = wanted.get_mut(&settlement.target)
            {
                entries.remove(&settlement.entry);
            }
        }
    }
    bail!("the claims to the queue that is copied to were lost: repeat the copy")
}

/// The settlements that bring entries of a target to these states.
fn settlements_of(
    queue: &dyn Queue,
    name: &Arc<str>,
    states: &HashMap<EntryId, State>,
) -> Result<Vec<Settlement>> {
    let mut settlements = Vec::new();
    let (first, last) = (states.keys().min(), states.keys().max());
    let before = first.and_then(|first| first.0.checked_sub(1)).map(EntryId);
    queue.owed(name, before, &mut |owed| {
        if let Some(state) = states.get(&owed.entry)
            && let Some(guard) = queue.guard(owed.claim)
        {
            settlements.push(Settlement {
                target: Arc::clone(name),
                entry: owed.entry,
                outcome: state.outcome(),
                guard,
            });
        }
        match Some(&owed.entry) < last {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    Ok(settlements)
}

/// Copies until when the targets get nothing.
fn copy_holds(source: &dyn Queue, target: &dyn Queue) -> Result<()> {
    for statistics in source.statistics()?.targets {
        if let Some(hold) = source.hold(&statistics.target)? {
            let settlement = Settlement {
                target: Arc::from(statistics.target),
                entry: EntryId(0),
                outcome: Settled::Held {
                    until: hold.until,
                    note: hold.note,
                },
                guard: SlotGuard::SOLE,
            };
            let _result = retried(|| target.commit(&[], std::slice::from_ref(&settlement)))?;
        }
    }
    Ok(())
}

/// Compares what was copied with what the target counts. It keeps fewer deliveries if it has too little
/// room.
fn check_counts(target: &dyn Queue, copied: &mut Copied) -> Result<()> {
    let found = target.statistics()?.targets.into_iter();
    let found: BTreeMap<String, Counts> = found
        .map(|it| {
            let counts = Counts {
                pending: it.pending,
                dead_letters: it.dead,
                kept: it.kept,
            };
            (it.target, counts)
        })
        .filter(|(_, counts)| *counts != Counts::default())
        .collect();
    for (name, counts) in &mut copied.targets {
        let kept = found.get(name).map_or(0, |found| found.kept);
        counts.kept = counts.kept.min(kept);
    }
    copied.targets.retain(|_, it| *it != Counts::default());
    if found != copied.targets {
        bail!(
            "the queue that was copied to counts {found:?} and not {:?}: repeat the copy, into \
             an empty queue",
            copied.targets
        );
    }
    Ok(())
}

impl Copied {
    fn count(&mut self, event: &Stored) {
        self.events += 1;
        for (name, state) in &event.states {
            let counts = self.targets.entry(name.to_string()).or_default();
            match state {
                State::Owed { .. } => counts.pending += 1,
                State::Dead { .. } => counts.dead_letters += 1,
                State::Kept { .. } => counts.kept += 1,
            }
        }
    }

    fn write_text(&self, out: &mut impl Write) -> Result<()> {
        let before = match self.copied_before {
            0 => String::new(),
            before => format!(", {before} of them by an earlier run"),
        };
        writeln!(out, "{} events are copied{before}", self.events)?;
        writeln!(
            out,
            "{:<24} {:>12} {:>12} {:>12}",
            "TARGET", "PENDING", "DEAD", "KEPT"
        )?;
        for (name, counts) in &self.targets {
            let (pending, dead, kept) = (counts.pending, counts.dead_letters, counts.kept);
            writeln!(out, "{name:<24} {pending:>12} {dead:>12} {kept:>12}")?;
        }
        Ok(())
    }
}
