//! Reads the bodies of requests, within limits of time and size, before anything is done for them.

use super::problem::Problem;
use crate::http::Activity;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a body, at most. The longest body is a configuration.
pub(super) const MAX_BODY: usize = 1 << 20;
/// How long a peer may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a request's body, and passes the request on with it.
pub(super) async fn read(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let activity = head.extensions.get::<Arc<Activity>>().cloned();
    if let Some(activity) = &activity {
        activity.reads_body();
    }
    let read = read_whole(body).await;
    if let Some(activity) = &activity {
        activity.works();
    }
    match read {
        Ok(body) => next.run(Request::from_parts(head, Body::from(body))).await,
        Err(problem) => {
            if let Some(activity) = activity {
                activity.leaves_unread();
            }
            let close = [(CONNECTION, HeaderValue::from_static("close"))];
            (close, problem).into_response()
        }
    }
}

async fn read_whole(body: Body) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = "the body is larger than a mebibyte";
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    let whole = Limited::new(body, MAX_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Problem::bad_request(format!(
            "the body breaks off: {error}"
        ))),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!(
                "the body did not arrive within {} s",
                BODY_TIMEOUT.as_secs()
            ),
        )),
    }
}
