//! What a receiver of webhooks needs beside its web framework: it verifies the signature of a request
//! ([`Verifier`]), splits its body into events ([`events`]), and recognises events that it has stored
//! already ([`RecentIds`]).
//!
//! The signatures are those of Standard Webhooks 1.0, so the verifier works for any sender that follows
//! it. The bodies are those of `webhookd`; `docs/receivers.md` describes the whole exchange.
//!
//! ```
//! use std::time::{Duration, Instant, SystemTime};
//! use webhook_receiver::{Begin, Format, RecentIds, RequestHeaders, Secret, Verifier, events};
//!
//! # fn store(_event: &[u8]) -> Result<(), String> { Ok(()) }
//! # let secret = Secret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")?;
//! # let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
//! # let timestamp = seconds.to_string();
//! # let body = br#"{"task":{"assignedTask":{"taskId":"hello-0"},"status":"LOST"},"oldState":{}}"#;
//! # let signature = secret.sign("evt_1", &timestamp, body);
//! # let headers = [
//! #     ("content-type", "application/json"), ("webhook-id", "evt_1"),
//! #     ("webhook-timestamp", &timestamp), ("webhook-signature", &signature),
//! # ];
//! // Once, at the start:
//! let verifier = Verifier::new([Secret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")?]);
//! let recent = RecentIds::new(100_000, Duration::from_secs(2 * 24 * 3600));
//!
//! // For each request, with the headers and the body as they came:
//! let headers = RequestHeaders::from_pairs(headers.map(|(name, value)| (name, value.as_bytes())));
//! verifier.verify(&headers, body, SystemTime::now())?; // or answer with the error's status
//! for event in events(Format::detect(&headers), &headers, body)? {
//!     match recent.begin(event.id(), Instant::now()) {
//!         Begin::New(claim) => {
//!             store(event.body())?; // on failure the claim is dropped, and the repeat is new again
//!             claim.commit(Instant::now());
//!         }
//!         Begin::Seen => {}
//!         // Another request stores it at this moment: answer 409, so that it is sent again.
//!         Begin::InProgress => return Err("being stored".into()),
//!     }
//! }
//! // Everything is stored: answer 204.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! *Architecture invariant*: this crate does no I/O and reads no clock: the time is an argument. It knows
//! no web framework and no HTTP library; of the workspace it knows `webhook-model` alone.

mod error;
mod events;
mod headers;
mod recent_ids;
mod secret;
mod verifier;

pub use error::{BodyError, VerifyError};
pub use events::{Event, Format, events};
pub use headers::RequestHeaders;
pub use recent_ids::{Begin, Claim, Forgotten, RecentIds};
pub use secret::{Secret, SecretError};
pub use verifier::{DEFAULT_MAX_BODY_BYTES, DEFAULT_TOLERANCE, Verified, Verifier};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
