//! Files of what an input with `"unknown": "accept"` did not understand.
//!
//! A sender that is told 200 does not send again, so a reject is durable before that. A thread of
//! its own writes them, `rejects`, so that no other waits for the disk under a lock.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError};
use rustix::fs::OFlags;
use serde::Serialize;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use webhook_dispatch::rfc3339;

/// Bytes of a file, at most. A full one is renamed to `.1`, in place of the one before it.
pub(crate) const FILE_BYTES: u64 = 16 << 20;
/// Bytes that are kept of one reject.
pub(super) const KEPT_BYTES: usize = 1 << 20;
/// Rejects that may wait to be written.
const WAITING: usize = 64;

/// What was not understood.
#[derive(Debug)]
pub(crate) struct Reject {
    /// The input, for the file's name.
    pub(crate) input: Arc<str>,
    /// Where it came from: a client, or a line of a file.
    pub(crate) source: String,
    pub(crate) reason: String,
    /// It, or its beginning.
    pub(crate) body: Arc<[u8]>,
    /// Bytes of all of it; `None` if only its beginning was read.
    pub(crate) length: Option<u64>,
}

/// A line of a file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    time: Option<String>,
    input: &'a str,
    source: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// Whether only its beginning is kept.
    #[serde(skip_serializing_if = "is_false")]
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    /// Instead of `body`, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Called once, when a reject is durable or could not be written.
type Written = Box<dyn FnOnce(Result<(), String>) + Send>;

struct Job {
    reject: Reject,
    written: Written,
}

/// The thread that writes rejects.
pub(crate) struct Rejects {
    jobs: Sender<Job>,
    /// The thread ends once this is dropped.
    stop: Sender<()>,
    /// Disconnected once the thread has ended.
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

/// Hands rejects to the thread; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RejectSender(Sender<Job>);

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.reject.fmt(f)
    }
}

impl Rejects {
    /// Writes to files in this directory, which is created with the first reject.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub(crate) fn start(directory: PathBuf) -> Result<Rejects> {
        Rejects::with_bound(directory, FILE_BYTES)
    }

    fn with_bound(directory: PathBuf, file_bytes: u64) -> Result<Rejects> {
        let (jobs, waiting) = crossbeam_channel::bounded(WAITING);
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let (ending, ended) = crossbeam_channel::bounded(0);
        let thread = std::thread::Builder::new()
            .name("rejects".to_owned())
            .spawn(move || {
                write_all(&directory, file_bytes, &waiting, &stopped);
                drop::<Sender<()>>(ending);
            })
            .context("cannot start a thread")?;
        Ok(Rejects {
            jobs,
            stop,
            ended,
            thread,
        })
    }

    pub(crate) fn sender(&self) -> RejectSender {
        RejectSender(self.jobs.clone())
    }

    /// Writes what waits, for `grace` at most: a disk that hangs must not keep webhookd from ending.
    pub(crate) fn finish(self, grace: Duration) {
        drop((self.stop, self.jobs));
        if self.ended.recv_timeout(grace) != Err(RecvTimeoutError::Timeout) {
            // It returns nothing, and a panic has been logged.
            drop(self.thread.join());
        }
    }
}

impl RejectSender {
    /// Hands a reject over, and waits for room for this time; `written` is called unless this
    /// fails.
    ///
    /// # Errors
    /// There was no room in time. It is given back.
    pub(super) fn send(
        &self,
        reject: Reject,
        written: impl FnOnce(Result<(), String>) + Send + 'static,
        patience: Duration,
    ) -> Result<(), Reject> {
        let written: Written = Box::new(written);
        let job = Job { reject, written };
        let job = match self.0.try_send(job) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(job)) => return Err(job.reject),
            Err(TrySendError::Full(job)) if patience.is_zero() => return Err(job.reject),
            Err(TrySendError::Full(job)) => job,
        };
        self.0.send_timeout(job, patience).map_err(|error| {
            let (SendTimeoutError::Timeout(job) | SendTimeoutError::Disconnected(job)) = error;
            job.reject
        })
    }
}

/// The name of an input's file; the default input has no name in it.
pub(crate) fn file_name(input: &str) -> String {
    match input {
        "" => "rejects.ndjson".to_owned(),
        name => format!("rejects-{name}.ndjson"),
    }
}

/// Writes what comes until it is stopped, and what waits then.
fn write_all(directory: &Path, file_bytes: u64, jobs: &Receiver<Job>, stopped: &Receiver<()>) {
    let next = || {
        crossbeam_channel::select_biased! {
            recv(jobs) -> job => job.ok(),
            recv(stopped) -> _ => None,
        }
    };
    while let Some(first) = next() {
        // Those that wait share a sync, if they are of one input.
        let waiting = jobs.try_iter().take(WAITING);
        let mut jobs: Vec<Job> = std::iter::once(first).chain(waiting).collect();
        while let Some(first) = jobs.first() {
            let input = Arc::clone(&first.reject.input);
            let (group, others) = jobs.into_iter().partition(|it| it.reject.input == input);
            jobs = others;
            write_group(&directory.join(file_name(&input)), file_bytes, group);
        }
    }
}

fn write_group(path: &Path, file_bytes: u64, group: Vec<Job>) {
    // One after the other, since a line takes memory.
    let lines = group.iter().map(|job| line(&job.reject));
    let result = append(path, file_bytes, lines)
        .map_err(|error| format!("cannot write {}: {error}", path.display()));
    for job in group {
        (job.written)(result.clone());
    }
}

/// Appends lines, and syncs them. The file is opened each time, so that it may be moved or deleted.
fn append(
    path: &Path,
    file_bytes: u64,
    lines: impl Iterator<Item = Vec<u8>>,
) -> std::io::Result<()> {
    let mut file = open(path)?;
    for line in lines {
        let length = file.metadata()?.len();
        if length > 0 && length + line.len() as u64 > file_bytes {
            file.sync_data()?;
            std::fs::rename(path, path.with_extension("ndjson.1"))?;
            file = open(path)?;
        }
        file.write_all(&line)?;
    }
    file.sync_data()
}

/// Opens a file to append to it; it is created if it does not exist. Neither follows a symbolic link
/// nor waits for a FIFO.
fn open(path: &Path) -> std::io::Result<File> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let mut file = File::options()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path)?;
    if file.metadata()?.len() == 0 {
        // A new file is durable once its directory is.
        File::open(directory)?.sync_all()?;
        return Ok(file);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        // A write that failed or a crash has left half a line.
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn line(reject: &Reject) -> Vec<u8> {
    let kept = &reject.body[..reject.body.len().min(KEPT_BYTES)];
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let text = std::str::from_utf8(kept).ok();
    let line = Line {
        time: i64::try_from(now.as_millis()).ok().and_then(rfc3339),
        input: &reject.input,
        source: &reject.source,
        reason: &reject.reason,
        bytes: reject.length,
        truncated: reject.length != Some(kept.len() as u64),
        body: text,
        body_base64: text.is_none().then(|| STANDARD.encode(kept)),
    };
    let mut line = serde_json::to_vec(&line).expect("it has no maps, so it can be written as JSON");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn reject(input: &str, body: &[u8]) -> Reject {
        Reject {
            input: Arc::from(input),
            source: "127.0.0.1:9".to_owned(),
            reason: "not JSON".to_owned(),
            body: Arc::from(body),
            length: Some(body.len() as u64),
        }
    }

    /// Writes one, and waits until it is durable.
    fn keep(rejects: &Rejects, reject: Reject) -> Result<(), String> {
        let (done, result) = crossbeam_channel::bounded(1);
        let written = move |result| drop(done.send(result));
        let sent = rejects
            .sender()
            .send(reject, written, Duration::from_secs(60));
        sent.expect("there is room");
        result.recv().expect("it is called")
    }

    fn lines(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn what_is_kept_can_be_read_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("queue");
        let rejects = Rejects::start(directory.clone()).unwrap();
        keep(&rejects, reject("slurm", b"{")).unwrap();
        keep(&rejects, reject("", b"\xff")).unwrap();
        let long = Reject {
            length: Some(9_000_000),
            ..reject("slurm", b"xy")
        };
        keep(&rejects, long).unwrap();
        rejects.finish(Duration::from_secs(60));
        let kept = lines(&directory.join("rejects-slurm.ndjson"));
        let mut first = kept[0].clone();
        let time = first["time"].take();
        assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
        assert_eq!(
            first,
            json!({ "time": null, "input": "slurm", "source": "127.0.0.1:9",
                "reason": "not JSON", "bytes": 1, "body": "{" })
        );
        assert_eq!(
            (&kept[1]["bytes"], &kept[1]["truncated"]),
            (&json!(9_000_000), &json!(true))
        );
        let kept = lines(&directory.join("rejects.ndjson"));
        assert_eq!(kept[0]["bodyBase64"], "/w==");
        assert_eq!(kept[0].get("body"), None);
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("rejects-ray.ndjson")).unwrap();
        let rejects = Rejects::start(folder.path().to_owned()).unwrap();
        let error = keep(&rejects, reject("ray", b"{")).unwrap_err();
        assert!(error.contains("rejects-ray.ndjson"), "{error}");
        rejects.finish(Duration::from_secs(60));
        assert!(!elsewhere.exists());
    }

    #[test]
    fn a_full_file_is_renamed_and_the_one_before_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let rejects = Rejects::with_bound(folder.path().to_owned(), 1_000).unwrap();
        for number in 0..20 {
            let body = format!("{number:0400}");
            keep(&rejects, reject("ray", body.as_bytes())).unwrap();
        }
        rejects.finish(Duration::from_secs(60));
        let path = folder.path().join("rejects-ray.ndjson");
        let older = folder.path().join("rejects-ray.ndjson.1");
        for path in [&path, &older] {
            assert!(std::fs::metadata(path).unwrap().len() <= 1_000, "{path:?}");
        }
        let last = lines(&path).pop().unwrap();
        assert_eq!(last["body"], format!("{:0400}", 19));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_half_written_line_does_not_damage_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects-ray.ndjson");
        std::fs::write(&path, r#"{"time":"20"#).unwrap();
        let rejects = Rejects::start(folder.path().to_owned()).unwrap();
        keep(&rejects, reject("ray", b"{")).unwrap();
        rejects.finish(Duration::from_secs(60));
        let text = std::fs::read_to_string(&path).unwrap();
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["body"], "{");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects-ray.ndjson");
        std::fs::create_dir(&path).unwrap();
        let rejects = Rejects::start(folder.path().to_owned()).unwrap();
        let told = keep(&rejects, reject("ray", b"{")).unwrap_err();
        assert!(told.contains("rejects-ray.ndjson"), "{told}");
        std::fs::remove_dir(&path).unwrap();
        keep(&rejects, reject("ray", b"{")).unwrap();
        rejects.finish(Duration::from_secs(60));
    }
}
