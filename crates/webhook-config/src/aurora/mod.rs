//! How Aurora read its file: the rules of Jackson 1.9, `java.net.URI`, async-http-client 2.0 and
//! Netty 4.0, as far as they affect requests. This module has only these rules; their users decide
//! what is an error or a warning.

pub(crate) mod header;
pub(crate) mod integer;
pub(crate) mod uri;

/// The most members that Aurora read. Repeated keys count, and a file with a fifth member was
/// refused.
pub(crate) const MOST_MEMBERS: usize = 4;
