//! Who delivers it: blocking senders on threads, fed by crossbeam channels.
//!
//! *Architecture invariant*: ureq is used in one file and is in no public signature, nor is the
//! storage engine; there is no async runtime.
