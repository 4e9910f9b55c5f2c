//! SIGTERM and SIGINT: the first asks for an orderly end, the second ends at once. SIGHUP asks for
//! the configuration to be read again.

use crate::messages::Message;
use anyhow::{Context, Result};
use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Exit status after a second signal: as a shell reports a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// What the process was asked for.
pub(crate) struct Signals {
    /// Whether it was asked to end.
    asked: Arc<AtomicBool>,
    /// Becomes readable with the first signal that asks for that, and stays so.
    bell: UnixStream,
    /// Has a byte for each SIGHUP that nobody has heeded yet.
    reload: UnixStream,
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
        let (reload, ringer) = UnixStream::pair().context("cannot wait for signals")?;
        reload
            .set_nonblocking(true)
            .and_then(|()| low_level::pipe::register(SIGHUP, ringer))
            .context("cannot wait for signals")?;
        Ok(Signals {
            asked,
            bell,
            reload,
        })
    }

    /// For tests: no signal comes.
    #[cfg(test)]
    pub(crate) fn none() -> Signals {
        let pair = || UnixStream::pair().expect("a test may have sockets").0;
        Signals {
            asked: Arc::default(),
            bell: pair(),
            reload: pair(),
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

    /// Has the first signal that asks for the end told as news, from a thread of its own, and
    /// `reload` called on it for each SIGHUP before; those that come during a call are one.
    pub(crate) fn announce(
        self: &Arc<Self>,
        messages: Sender<Message>,
        reload: impl Fn() + Send + 'static,
    ) -> Result<()> {
        let signals = Arc::clone(self);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                while !signals.asked_to_end() {
                    if signals.wait_for(signals.reload.as_fd()).is_err() {
                        return;
                    }
                    if signals.take_reloads() {
                        reload();
                    }
                }
                // Nobody listens any more once the program ends.
                drop(messages.send(Message::EndRequested));
            })
            .context("cannot start a thread")?;
        Ok(())
    }

    /// Waits so long, or until a signal has come; whether one has.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.bell.as_fd(), PollFlags::IN)];
        let time = Timespec::try_from(time).ok();
        // Woken early, whoever paused looks around a little sooner.
        let _woken = poll(&mut fds, time.as_ref());
        self.asked_to_end()
    }

    /// Whether there was a SIGHUP since this was last asked.
    fn take_reloads(&self) -> bool {
        let mut bytes = [0; 64];
        let mut found = false;
        while let Ok(1..) = (&self.reload).read(&mut bytes) {
            found = true;
        }
        found
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
