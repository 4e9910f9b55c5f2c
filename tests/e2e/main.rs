//! The product from outside: one file a concern.

mod admin;
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
mod logs;
mod metrics;
mod notify;
mod receive;
mod reload;
mod repair;
mod retry;
mod signals;
mod signatures;
