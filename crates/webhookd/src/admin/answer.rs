//! Responses: JSON documents, and work that may block.

use super::audit::Effect;
use super::problem::Problem;
use axum::Extension;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A JSON document and a line feed.
#[derive(Debug)]
pub(super) struct Json<T> {
    pub(super) value: T,
    /// Whether it is indented.
    pub(super) pretty: bool,
}

impl<T> Json<T> {
    pub(super) fn of(value: T) -> Json<T> {
        Json {
            value,
            pretty: false,
        }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let text = if self.pretty {
            serde_json::to_string_pretty(&self.value)
        } else {
            serde_json::to_string(&self.value)
        };
        match text {
            Ok(text) => {
                let kind = [(header::CONTENT_TYPE, "application/json")];
                (kind, text + "\n").into_response()
            }
            Err(error) => Problem::failed(&error).into_response(),
        }
    }
}

/// The response to a change, with its effect for the log.
pub(super) type Changed<T> = (Extension<Effect>, Json<T>);

/// A response to a change, whose effect is logged in these words.
pub(super) fn changed<T>(effect: String, value: T) -> Changed<T> {
    (Extension(Effect(effect)), Json::of(value))
}

/// Runs work that may wait for the disk, on a thread that may block.
///
/// # Errors
/// The work panicked.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!("a request to the admin API failed: {error}");
        let detail = "webhookd failed to respond; see its log";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })
}
