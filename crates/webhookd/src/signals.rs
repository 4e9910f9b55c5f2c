//! SIGTERM and SIGINT: the first asks for an orderly end, the second ends at once.

use crate::wiring::News;
use anyhow::{Context, Result};
use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit status after a second signal: as a shell reports a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Whether the process was asked to end.
pub(crate) struct Signals {
    asked: Arc<AtomicBool>,
    /// Becomes readable with the first signal.
    bell: UnixStream,
}

impl Signals {
    pub(crate) fn install() -> Result<Signals> {
        let asked = Arc::new(AtomicBool::new(false));
        // A file that may not grow is an error of the writing, and no reason to end.
        flag::register(SIGXFSZ, Arc::default()).context("cannot wait for signals")?;
        let (bell, ringer) = UnixStream::pair().context("cannot wait for signals")?;
        for signal in [SIGTERM, SIGINT] {
            let ringer = ringer.try_clone().context("cannot wait for signals")?;
            // In this order: a signal that finds the flag set ends the process, and sets it else.
            flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&asked))
                .and_then(|_| flag::register(signal, Arc::clone(&asked)))
                .and_then(|_| low_level::pipe::register(signal, ringer))
                .context("cannot wait for signals")?;
        }
        Ok(Signals { asked, bell })
    }

    /// For tests: no signal comes.
    #[cfg(test)]
    pub(crate) fn none() -> Signals {
        let (bell, _) = UnixStream::pair().expect("a test may have sockets");
        Signals {
            asked: Arc::default(),
            bell,
        }
    }

    /// Whether a signal has come.
    pub(crate) fn asked_to_end(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Set by the first signal.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.asked
    }

    /// Has the first signal told as news, from a thread of its own.
    pub(crate) fn announce(self: &Arc<Self>, news: Sender<News>) -> Result<()> {
        let signals = Arc::clone(self);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                while !signals.asked_to_end() {
                    if signals.wait_for(signals.bell.as_fd()).is_err() {
                        return;
                    }
                }
                // Nobody listens any more once the program ends.
                drop(news.send(News::AskedToEnd));
            })
            .context("cannot start a thread")?;
        Ok(())
    }

    /// Waits until `input` can be read, or has ended, or a signal has come.
    pub(crate) fn wait_for(&self, input: BorrowedFd<'_>) -> std::io::Result<()> {
        let mut fds = [
            PollFd::from_borrowed_fd(input, PollFlags::IN),
            PollFd::from_borrowed_fd(self.bell.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
