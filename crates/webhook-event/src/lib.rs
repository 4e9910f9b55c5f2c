//! Reads what a dispatcher needs of any scheduler's event: key, states, job, id and time.
//!
//! A [`Schema`] says where these fields are, by JSON Pointers. It reads them in one pass over the
//! event's bytes, and borrows them. Presets for known schedulers are nothing but such settings:
//! [`Schema::preset`].
//!
//! ```
//! use webhook_event::Schema;
//!
//! let schema = Schema::from_json(&serde_json::json!({
//!     "schema": "pointers", "key": "/job", "state": "/state"
//! }))?;
//! let event = br#"{"job":17,"state":"FAILED"}"#;
//! let fields = schema.read(event)?.expect("no event is ignored");
//! assert_eq!(fields.key, "17");
//! assert_eq!(fields.state.as_deref(), Some("FAILED"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! *Architecture invariant*: this crate does no I/O and has no clock. It knows nothing about
//! targets, queues or HTTP.

mod attributes;
mod condition;
mod error;
mod fields;
mod fragment;
mod layout;
mod missing;
mod number;
mod omit;
mod pointer;
mod pointer_set;
mod preset;
mod schema;
mod selector;
mod settings;
mod template;
mod time;
mod trace_context;

pub use attributes::Attributes;
pub use condition::Condition;
pub use error::{InvalidSchema, UnknownEvent};
pub use fields::EventFields;
pub use fragment::Fragment;
pub use pointer::{InvalidPointer, Pointer};
pub use pointer_set::PointerSet;
pub use schema::{Encoding, Schema, UnknownEvents};
pub use selector::Selector;
pub use template::{
    CloudEventTemplate, RenderError, SecretOrigin, SecretReference, Template, TemplateFields,
    percent_encode,
};
pub use trace_context::TraceContext;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
