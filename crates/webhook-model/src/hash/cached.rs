//! The cached hash of a struct.

use std::sync::atomic::{AtomicI32, Ordering};

/// A struct's `cachedHashCode`: 0 until the hash is computed.
///
/// Two threads that compute it at the same time store the same number, so relaxed loads and stores
/// suffice, like the plain `int` in Java.
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
