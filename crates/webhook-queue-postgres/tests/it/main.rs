//! Tests of the queue on a PostgreSQL server of their own.

mod bounds;
mod commits;
mod opening;
mod outcomes;
mod proxy;
mod retained;
mod support;
mod tls;
