//! An observer that hands incidents to another thread.

use super::incident::{Incident, Observer};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};

/// An observer that sends each incident through a bounded channel, so that the dispatcher's threads
/// never wait for the program that logs or counts them. An incident that finds the channel full is
/// dropped and counted.
///
/// ```
/// use std::sync::Arc;
/// use webhook_dispatch::ChannelObserver;
///
/// let (observer, incidents) = ChannelObserver::new(1024, |incident| Some(incident.to_string()));
/// let observer = Arc::new(observer); // for DispatcherBuilder::observer
/// let logging = std::thread::spawn(move || {
///     // Ends once the dispatcher has ended, and all clones of the observer are dropped.
///     for line in incidents {
///         eprintln!("{line}");
///     }
/// });
/// assert_eq!(observer.dropped(), 0);
/// # drop(observer);
/// # logging.join().unwrap();
/// ```
pub struct ChannelObserver<T> {
    convert: Box<Convert<T>>,
    channel: SyncSender<T>,
    dropped: AtomicU64,
}

type Convert<T> = dyn Fn(&Incident<'_>) -> Option<T> + Send + Sync;

impl<T: Send> ChannelObserver<T> {
    /// An observer, and the other end of its channel, which holds up to `capacity` incidents.
    /// `convert` makes the value that is sent, or `None` for an incident that is of no interest. It
    /// is called on the dispatcher's threads, so it must not block.
    pub fn new(
        capacity: usize,
        convert: impl Fn(&Incident<'_>) -> Option<T> + Send + Sync + 'static,
    ) -> (ChannelObserver<T>, Receiver<T>) {
        let (channel, incidents) = mpsc::sync_channel(capacity);
        let observer = ChannelObserver {
            convert: Box::new(convert),
            channel,
            dropped: AtomicU64::new(0),
        };
        (observer, incidents)
    }

    /// The number of incidents dropped so far: the channel was full, or its receiver dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl<T: Send> Observer for ChannelObserver<T> {
    fn incident(&self, incident: &Incident<'_>) {
        let Some(value) = (self.convert)(incident) else {
            return;
        };
        if self.channel.try_send(value).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<T> fmt::Debug for ChannelObserver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelObserver")
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_that_finds_the_channel_full_is_dropped_and_counted() {
        let (observer, incidents) = ChannelObserver::new(2, |incident| match incident {
            Incident::BreakerClosed { target } => Some((*target).to_owned()),
            _ => None,
        });
        for target in ["a", "b", "c"] {
            observer.incident(&Incident::TargetStopped { target });
            observer.incident(&Incident::BreakerClosed { target });
        }
        assert_eq!(observer.dropped(), 1);
        assert_eq!(incidents.try_iter().collect::<Vec<_>>(), ["a", "b"]);
        drop(incidents);
        observer.incident(&Incident::BreakerClosed { target: "d" });
        assert_eq!(observer.dropped(), 2);
    }
}
