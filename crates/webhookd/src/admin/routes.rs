//! What is answered where.

use super::guard::{self, Guard};
use super::problem::Problem;
use super::{api, metrics, probes, vars};
use crate::daemon::Daemon;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, on};
use std::fmt::Write;
use std::sync::Arc;

/// Bytes of a request's body, at most: those of a configuration.
const MAX_BODY: usize = 1 << 20;

/// Routes, and what they are: a router does not tell.
pub(super) struct Routes {
    router: Router<Arc<Daemon>>,
    known: Vec<(Method, &'static str)>,
}

/// All that there is.
pub(super) fn all() -> Routes {
    let routes = Routes {
        router: Router::new(),
        known: Vec::new(),
    };
    let routes = routes
        .get("/livez", probes::livez)
        .get("/readyz", probes::readyz)
        .get("/metrics", metrics::answer)
        .get("/vars", vars::text)
        .get("/vars.json", vars::json);
    let mut routes = api::add(routes);
    let mut index = String::new();
    for (method, path) in &routes.known {
        writeln!(index, "{method:<6} {path}").expect("a String takes whatever is written");
    }
    routes = routes.get("/", async move || index.clone());
    routes
}

impl Routes {
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

    /// What serves them, for those whom `guard` lets through.
    pub(super) fn guarded(self, guard: Guard, daemon: Arc<Daemon>) -> Router {
        self.router
            .fallback(nothing_there)
            .method_not_allowed_fallback(not_so)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(from_fn_with_state(guard, guard::check))
            .layer(from_fn(guard::harden))
            .with_state(daemon)
    }
}

async fn nothing_there(uri: Uri) -> Problem {
    Problem::not_found(format!("there is no {}; / has a list", uri.path()))
}

async fn not_so(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}; / has a list", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let document: Value = serde_saphyr::from_str(api::OPENAPI).unwrap();
        let mut documented = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                documented.insert((method.to_uppercase(), path.clone()));
            }
        }
        let served: BTreeSet<_> = all()
            .known
            .into_iter()
            .map(|(method, path)| (method.to_string(), path.to_owned()))
            .collect();
        assert_eq!(served, documented);
    }
}
