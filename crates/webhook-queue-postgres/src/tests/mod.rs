//! Tests of the parts against a server.

mod leases;
mod reads;
mod segments;
mod sharing;
mod support;
