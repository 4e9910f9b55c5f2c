//! The product from outside: one file a concern.

mod answers;
mod backpressure;
mod cloud_events;
mod config_check;
mod deliver;
mod durable;
mod follow;
mod hostile;
mod independent;
mod ingest;
mod input;
mod monitoring;
mod packaging;
mod receive;
mod remote_repair;
mod repair;
mod retry;
mod runbook;
mod send;
mod signals;
mod signatures;
mod top;
