//! The events that a receiver has accepted.

use serde_json::Value;
use testkit::Request;

/// An event that was delivered.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) id: String,
    pub(crate) body: Vec<u8>,
    pub(crate) event: Value,
}

/// The events of these requests, in the order in which they came, each once: a kill may
/// repeat what was in flight.
///
/// # Panics
///
/// A body is not JSON, or an id came with two bodies.
pub(crate) fn delivered(requests: Vec<Request>) -> Vec<Delivered> {
    let mut all: Vec<Delivered> = Vec::new();
    for request in requests {
        let id = request.header("webhook-id");
        if let Some(before) = all.iter().find(|it| it.id == id) {
            assert!(before.body == request.body, "{id} has two bodies");
            continue;
        }
        let event = serde_json::from_slice(&request.body).unwrap_or_else(|error| {
            let body = String::from_utf8_lossy(&request.body);
            panic!("{error} in a body: {body}")
        });
        let body = request.body;
        all.push(Delivered { id, body, event });
    }
    all
}
