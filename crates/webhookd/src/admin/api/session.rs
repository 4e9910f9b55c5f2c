//! `/api/v1/session`: what the token of a request allows.

use super::super::answer::Json;
use super::super::guard::Access;
use axum::Extension;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Session {
    access: Access,
}

pub(super) async fn show(Extension(access): Extension<Access>) -> Json<Session> {
    Json::of(Session { access })
}
