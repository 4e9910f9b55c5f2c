//! `/api/v1`: inspects and repairs, in JSON.

mod alerts;
mod attempts;
mod config;
mod dead_letters;
mod groups;
mod history;
mod queue;
mod request;
mod selection;
mod session;
mod status;
mod targets;
mod tasks;
mod test_delivery;
mod workers;

use super::routes::Routes;
use axum::http::header;
use axum::response::IntoResponse;

/// The description of the API, which is tested against it.
pub(super) const OPENAPI: &str = include_str!("../../../docs/openapi.yaml");

/// Adds all routes of the API.
pub(super) fn add(routes: Routes) -> Routes {
    routes
        .get("/api/v1/openapi.yaml", openapi)
        .get("/api/v1/session", session::show)
        .get("/api/v1/status", status::show)
        .get("/api/v1/history", history::show)
        .get("/api/v1/alerts", alerts::list)
        .get("/api/v1/workers", workers::list)
        .get("/api/v1/targets", targets::list)
        .get("/api/v1/targets/{name}", targets::show)
        .get("/api/v1/targets/{name}/attempts", attempts::list)
        .get("/api/v1/targets/{name}/waiting", tasks::waiting)
        .post("/api/v1/targets/{name}/pause", targets::pause)
        .post("/api/v1/targets/{name}/resume", targets::resume)
        .post("/api/v1/targets/{name}/restart", targets::restart)
        .post("/api/v1/targets/{name}/test", test_delivery::send)
        .get("/api/v1/tasks/{key}", tasks::show)
        .post("/api/v1/tasks", tasks::find)
        .get("/api/v1/dead-letters", dead_letters::list)
        .get("/api/v1/dead-letters/groups", groups::list)
        .get("/api/v1/dead-letters/{id}", dead_letters::show)
        .post("/api/v1/dead-letters/replay", dead_letters::replay)
        .post("/api/v1/dead-letters/drop", dead_letters::drop_them)
        .get("/api/v1/queue", queue::show)
        .post("/api/v1/queue/verify", queue::verify)
        .get("/api/v1/queue/quarantined", queue::quarantined)
        .delete("/api/v1/queue/targets/{name}", queue::drop_target)
        .post("/api/v1/reload", config::reload)
        .get("/api/v1/config", config::show)
        .post("/api/v1/config/validate", config::validate)
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/yaml")], OPENAPI)
}
