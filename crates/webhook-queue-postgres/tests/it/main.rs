//! Tests of the queue on a PostgreSQL server of their own.

mod commits;
mod support;
