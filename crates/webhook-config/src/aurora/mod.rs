//! What Aurora made of its file: the rules of Jackson 1.9, `java.net.URI`, async-http-client 2.0
//! and Netty 4.0, as far as they decide what was requested. Only these rules live here; what this
//! product makes of them is decided where they are used.

pub(crate) mod header;
pub(crate) mod integer;
pub(crate) mod uri;

/// The most members of its object that Aurora read. It made its settings after the fourth, be it a
/// repetition, and refused a file with a fifth.
pub(crate) const MOST_MEMBERS: usize = 4;
