//! Parses requests.

use super::super::problem::Problem;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Entries of a page, by default.
const PAGE: usize = 100;
/// Entries of a page, at most.
const MAX_PAGE: usize = 1000;

/// The parameters of a query that are not parsed yet.
pub(super) type Query = BTreeMap<String, String>;

/// The body of a request.
pub(super) type Body = Result<Bytes, BytesRejection>;

/// The bytes of a body.
pub(super) fn bytes(body: Body) -> Result<Bytes, Problem> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is larger than a mebibyte",
        ),
        _ => Problem::bad_request(rejection.body_text()),
    })
}

/// Parses a body in JSON.
pub(super) fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    check_json(headers)?;
    serde_json::from_slice(&bytes(body)?)
        .map_err(|error| Problem::bad_request(format!("the body is not valid: {error}")))
}

/// Rejects other types than JSON, since a web page of another site can send them.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let detail = "send the body as JSON, with Content-Type: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    Ok(())
}

/// The size of a page.
pub(super) fn limit(query: &mut Query) -> Result<usize, Problem> {
    let Some(limit) = query.remove("limit") else {
        return Ok(PAGE);
    };
    let parsed = limit.parse().ok();
    parsed
        .filter(|limit| (1..=MAX_PAGE).contains(limit))
        .ok_or_else(|| {
            Problem::bad_request(format!(
                "limit={limit:?} is not a number from 1 to {MAX_PAGE}"
            ))
        })
}

/// Rejects the parameters that are left, since a misspelled one would be ignored.
pub(super) fn finish(query: &Query, known: &str) -> Result<(), Problem> {
    match query.keys().next() {
        None => Ok(()),
        Some(unknown) => Err(Problem::bad_request(format!(
            "there is no parameter {unknown:?}; known are {known}"
        ))),
    }
}
