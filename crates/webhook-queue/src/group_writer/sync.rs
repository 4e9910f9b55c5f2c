//! The synchronization of the writer and its callers: the standard library's, or loom's in the tests
//! of `models`, which try every order in which the threads may run.

use std::time::Instant;

#[cfg(not(all(test, loom)))]
pub(super) use std::{
    sync::{Condvar, Mutex, MutexGuard},
    thread::{Builder, JoinHandle},
};

#[cfg(all(test, loom))]
pub(super) use loom::{
    sync::{Condvar, Mutex, MutexGuard},
    thread::{Builder, JoinHandle},
};

#[cfg(not(all(test, loom)))]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// No time passes in a model: a wait with a time-out ends by a notification alone.
#[cfg(all(test, loom))]
pub(super) fn now() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}
