//! What the operator asked for: reads and validates `webhook.json`.
//!
//! *Architecture invariant*: this crate opens no file that the caller did not name, and no
//! socket. It knows `webhook-model` for the names of states and jobs, and nothing of delivery.
