//! The hash that a struct remembers.

use std::sync::atomic::{AtomicI32, Ordering};

/// A struct's `cachedHashCode`: 0 until somebody asks for the hash.
///
/// Two threads that ask at once both compute the same number, so no order between them matters
/// and relaxed loads and stores do, as the plain `int` does in Java.
#[derive(Debug, Default)]
pub(crate) struct CachedHash(AtomicI32);

impl CachedHash {
    pub(crate) fn new(hash: i32) -> Self {
        CachedHash(AtomicI32::new(hash))
    }

    #[inline]
    pub(crate) fn get(&self) -> i32 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, hash: i32) {
        self.0.store(hash, Ordering::Relaxed);
    }
}

impl Clone for CachedHash {
    fn clone(&self) -> Self {
        CachedHash::new(self.get())
    }
}
