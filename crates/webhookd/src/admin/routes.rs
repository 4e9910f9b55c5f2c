//! A router that knows its routes, to list them.

use super::body::{self, MAX_BODY};
use super::guard::{self, Guard};
use super::page;
use super::problem::Problem;
use crate::daemon::Daemon;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::header::VARY;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, on};
use std::sync::Arc;

/// Routes and their list, which axum's router does not give.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<Arc<Daemon>>,
    pub(super) known: Vec<(Method, &'static str)>,
}

impl Routes {
    /// Adds `/routes`, which lists the routes added before, and `/`, which does so or is the page.
    pub(super) fn with_index(self) -> Routes {
        let lines = self.known.iter();
        let list: String = lines
            .map(|(method, path)| format!("{:<6} {path}\n", method.as_str()))
            .collect();
        let index = list.clone();
        self.get("/routes", async move || list.clone())
            .get("/", async move |headers: HeaderMap| {
                let answer = if page::wants_html(&headers) {
                    page::index()
                } else {
                    index.clone().into_response()
                };
                ([(VARY, "Accept")], answer)
            })
    }

    pub(super) fn get<H: Handler<T, Arc<Daemon>>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
    ) -> Routes {
        self.on(Method::GET, MethodFilter::GET, path, handler)
    }

    pub(super) fn post<H: Handler<T, Arc<Daemon>>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
    ) -> Routes {
        self.on(Method::POST, MethodFilter::POST, path, handler)
    }

    pub(super) fn delete<H: Handler<T, Arc<Daemon>>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
    ) -> Routes {
        self.on(Method::DELETE, MethodFilter::DELETE, path, handler)
    }

    fn on<H: Handler<T, Arc<Daemon>>, T: 'static>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        handler: H,
    ) -> Routes {
        self.known.push((method, path));
        self.router = self.router.route(path, on(filter, handler));
        self
    }

    /// The service of these routes, for requests that `guard` lets through.
    pub(super) fn guarded(self, guard: Guard, daemon: Arc<Daemon>) -> Router {
        self.router
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(from_fn(body::read))
            .layer(from_fn_with_state(guard, guard::check))
            .layer(from_fn(guard::harden))
            .with_state(daemon)
    }
}

async fn not_found(uri: Uri) -> Problem {
    Problem::not_found(format!(
        "there is no {}; /routes lists what there is",
        uri.path()
    ))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!(
        "{} does not support {method}; /routes lists what there is",
        uri.path()
    );
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
