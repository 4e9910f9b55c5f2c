//! When `webhookd top` ends by itself: after a signal, and once its terminal is gone.
//!
//! crossterm reads a terminal that is gone in an endless loop, and a running webhookd may be slow to
//! respond, so a thread watches for the end, and ends the process if the display does not.

use anyhow::{Context, Result};
use ratatui::crossterm::terminal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the display has to end.
const GRACE: Duration = Duration::from_secs(1);
/// Leaves the alternate screen, and shows the cursor.
const LEAVE: &[u8] = b"\x1b[?1049l\x1b[?25h";

/// Watches for the end, until it is dropped.
pub(super) struct Ending {
    requested: Arc<AtomicBool>,
    /// Closed when the display ends.
    display: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Ending {
    /// # Errors
    /// The system refuses a thread or a signal handler.
    pub(super) fn watch() -> Result<Ending> {
        let (signals, writer) = UnixStream::pair().context("cannot wait for signals")?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            let writer = writer.try_clone().context("cannot wait for signals")?;
            low_level::pipe::register(signal, writer).context("cannot wait for signals")?;
        }
        let (display, ended) = UnixStream::pair().context("cannot watch the terminal")?;
        let requested = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&requested);
        let thread = std::thread::Builder::new()
            .name("top-ending".to_owned())
            .spawn(move || {
                if wait(&signals, &ended) {
                    flag.store(true, Ordering::SeqCst);
                    if !has_ended(&ended) {
                        end_process();
                    }
                }
            })
            .context("cannot start a thread")?;
        Ok(Ending {
            requested,
            display: Some(display),
            thread: Some(thread),
        })
    }

    /// Whether a signal has arrived, or the terminal is gone.
    pub(super) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.display = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            drop(thread.join());
        }
    }
}

/// Waits for a signal or the end of the terminal. Returns false if the display has ended before.
fn wait(signals: &UnixStream, ended: &UnixStream) -> bool {
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    let mut fds = vec![
        PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        // Without flags, only its end is reported.
        PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty()),
    ];
    if stdin.is_terminal() {
        fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::empty()));
    }
    // A poll that fails for another reason than a signal would fail again.
    while rustix::io::retry_on_intr(|| poll(&mut fds, None)).is_ok_and(|ready| ready == 0) {}
    fds[0].revents().is_empty()
}

/// Whether the terminal has been closed.
pub(super) fn is_terminal_gone() -> bool {
    let stdout = std::io::stdout();
    let mut fds = [PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Whether the display ends in time.
fn has_ended(ended: &UnixStream) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN)];
    let grace = Timespec::try_from(GRACE).ok();
    let ready = rustix::io::retry_on_intr(|| poll(&mut fds, grace.as_ref()));
    ready.is_ok_and(|ready| ready > 0)
}

/// Restores the terminal, and ends. Standard output may be locked by the display.
fn end_process() -> ! {
    drop(terminal::disable_raw_mode());
    let stdout = std::io::stdout();
    let mut fds = [PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::OUT)];
    let now = Timespec::default();
    if poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0) {
        // A terminal that takes nothing cannot be restored.
        let _written = rustix::io::write(stdout.as_fd(), LEAVE);
    }
    std::process::exit(0)
}
