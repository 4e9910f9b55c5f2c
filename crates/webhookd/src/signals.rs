//! SIGTERM and SIGINT: the first starts an orderly shutdown, the second ends the process at once.
//! SIGHUP reloads the configuration, and SIGUSR1 opens the delivery log again.

use crate::messages::Message;
use anyhow::{Context, Result};
use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::{flag, low_level};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Exit status after a second signal: as a shell reports a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Signals that have arrived.
pub(crate) struct Signals {
    /// Whether SIGTERM or SIGINT has arrived.
    end_requested: Arc<AtomicBool>,
    /// Which of them.
    end_signal: Arc<AtomicUsize>,
    /// Becomes readable with the first of them, and stays so.
    end_pipe: UnixStream,
    /// The other end of `end_pipe`.
    end_writer: UnixStream,
    /// Holds a byte for each SIGHUP and SIGUSR1 that is not handled yet.
    request_pipe: UnixStream,
    /// Whether SIGHUP has arrived, and is not handled yet.
    reload_requested: Arc<AtomicBool>,
    /// The same of SIGUSR1.
    reopen_requested: Arc<AtomicBool>,
}

/// What a wait for a file or socket has ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// It may be ready.
    Yes,
    TimedOut,
    /// SIGTERM or SIGINT has arrived.
    EndRequested,
}

impl Signals {
    pub(crate) fn install() -> Result<Signals> {
        let end_requested = Arc::new(AtomicBool::new(false));
        let end_signal = Arc::new(AtomicUsize::new(0));
        // A write beyond the limit of a file's size must fail instead of ending the process.
        flag::register(SIGXFSZ, Arc::default()).context("cannot wait for signals")?;
        let (end_pipe, end_writer) = UnixStream::pair().context("cannot wait for signals")?;
        for signal in [SIGTERM, SIGINT] {
            let writer = end_writer.try_clone().context("cannot wait for signals")?;
            // In this order, a signal ends the process if the flag is set, and sets it otherwise.
            flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&end_requested))
                .and_then(|_| {
                    let number = signal.unsigned_abs() as usize;
                    flag::register_usize(signal, Arc::clone(&end_signal), number)
                })
                .and_then(|_| flag::register(signal, Arc::clone(&end_requested)))
                .and_then(|_| low_level::pipe::register(signal, writer))
                .context("cannot wait for signals")?;
        }
        let (request_pipe, writer) = UnixStream::pair().context("cannot wait for signals")?;
        request_pipe
            .set_nonblocking(true)
            .context("cannot wait for signals")?;
        let (reload_requested, reopen_requested) = (Arc::default(), Arc::default());
        for (signal, requested) in [(SIGHUP, &reload_requested), (SIGUSR1, &reopen_requested)] {
            let writer = writer.try_clone().context("cannot wait for signals")?;
            // In this order, the flag is set when the byte is read.
            flag::register(signal, Arc::clone(requested))
                .and_then(|_| low_level::pipe::register(signal, writer))
                .context("cannot wait for signals")?;
        }
        Ok(Signals {
            end_requested,
            end_signal,
            end_pipe,
            end_writer,
            request_pipe,
            reload_requested,
            reopen_requested,
        })
    }

    /// For tests, without signals.
    #[cfg(test)]
    pub(crate) fn none() -> Signals {
        let pair = || UnixStream::pair().expect("a test may have sockets");
        let (end_pipe, end_writer) = pair();
        Signals {
            end_requested: Arc::default(),
            end_signal: Arc::default(),
            end_pipe,
            end_writer,
            request_pipe: pair().0,
            reload_requested: Arc::default(),
            reopen_requested: Arc::default(),
        }
    }

    /// Whether SIGTERM or SIGINT has arrived.
    pub(crate) fn end_requested(&self) -> bool {
        self.end_requested.load(Ordering::SeqCst)
    }

    /// Begins an orderly shutdown, as the first signal does.
    pub(crate) fn request_end(&self) {
        if !self.end_requested.swap(true, Ordering::SeqCst) {
            // If the pipe is full, it is readable already.
            let _written = (&self.end_writer).write(&[0]);
        }
    }

    /// The name of the signal that has arrived, or why webhookd ends of itself; `None` before that.
    pub(crate) fn end_cause(&self) -> Option<&'static str> {
        let names = [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")];
        let number = self.end_signal.load(Ordering::SeqCst);
        let found = names
            .iter()
            .find(|(signal, _)| signal.unsigned_abs() as usize == number);
        self.end_requested()
            .then(|| found.map_or("restart needed", |(_, name)| name))
    }

    /// Set by the first signal.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.end_requested
    }

    /// Starts a thread that calls `reload` on each SIGHUP and `reopen` on each SIGUSR1, which must not
    /// block, and sends a message on the first SIGTERM or SIGINT.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub(crate) fn start(
        self: &Arc<Self>,
        messages: Sender<Message>,
        reload: impl Fn() + Send + 'static,
        reopen: impl Fn() + Send + 'static,
    ) -> Result<()> {
        let signals = Arc::clone(self);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                while !signals.end_requested() {
                    if signals.wait_for(signals.request_pipe.as_fd()).is_err() {
                        return;
                    }
                    signals.take_requests();
                    if signals.reload_requested.swap(false, Ordering::SeqCst) {
                        reload();
                    }
                    if signals.reopen_requested.swap(false, Ordering::SeqCst) {
                        reopen();
                    }
                }
                // While the program ends, the message is not received.
                drop(messages.send(Message::EndRequested));
            })
            .context("cannot start a thread")?;
        Ok(())
    }

    /// Waits, unless SIGTERM or SIGINT arrives. Returns whether one has.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(
            self.end_pipe.as_fd(),
            PollFlags::IN,
        )];
        let time = Timespec::try_from(time).ok();
        // An early wake-up only shortens the pause.
        let _woken = poll(&mut fds, time.as_ref());
        self.end_requested()
    }

    /// Reads the bytes of the signals that are handled next.
    fn take_requests(&self) {
        let mut bytes = [0; 64];
        while let Ok(1..) = (&self.request_pipe).read(&mut bytes) {}
    }

    /// Waits until `fd` is ready for what `flags` say, at most this long, or SIGTERM or SIGINT arrives.
    pub(crate) fn wait_ready(
        &self,
        fd: BorrowedFd<'_>,
        flags: PollFlags,
        longest: Duration,
    ) -> std::io::Result<Ready> {
        if self.end_requested() {
            return Ok(Ready::EndRequested);
        }
        let mut fds = [
            PollFd::from_borrowed_fd(fd, flags),
            PollFd::from_borrowed_fd(self.end_pipe.as_fd(), PollFlags::IN),
        ];
        let longest = Timespec::try_from(longest).ok();
        match poll(&mut fds, longest.as_ref()) {
            Ok(0) => Ok(Ready::TimedOut),
            Ok(_) if self.end_requested() => Ok(Ready::EndRequested),
            Ok(_) | Err(Errno::INTR) => Ok(Ready::Yes),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until `input` can be read or has ended, or SIGTERM or SIGINT arrives.
    pub(crate) fn wait_for(&self, input: BorrowedFd<'_>) -> std::io::Result<()> {
        let mut fds = [
            PollFd::from_borrowed_fd(input, PollFlags::IN),
            PollFd::from_borrowed_fd(self.end_pipe.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
