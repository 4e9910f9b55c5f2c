//! The page for a browser: its files, from `crates/webhookd/page`, are part of the program.
//!
//! The files hold no data and need no token. What the page shows comes from the API.

use super::problem::Problem;
use axum::extract::{Path, Request};
use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};

/// The files below [`PREFIX`], by name.
macro_rules! files {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../../page/", $name)))),*]
    };
}

const INDEX: &str = include_str!("../../page/index.html");
const FILES: [(&str, &str); 33] = files! {
    "alerts.js" "api.js" "attempts.js" "base.css" "bulk.js" "chart.js" "config.js"
    "dead_letters.js" "dialog.js" "dom.js" "format.js" "forms.css" "history.js" "icon.svg"
    "keyboard.js" "letter.js" "main.js" "overview.js" "parts.css" "router.js" "runbook.js"
    "states.js" "tables.css" "target.js" "targets.js" "targets_table.js" "task.js"
    "test_event.js" "theme.js" "time.js" "views.css" "widgets.js" "workers.js"
};

/// The runbook of the alerts.
const RUNBOOK: (&str, &str) = ("operations.md", include_str!("../../docs/operations.md"));

/// Where the files are served.
const PREFIX: &str = "/page/";

/// Nothing is loaded from elsewhere, no code or style is inline, and no other page frames this one.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; object-src 'none'";

/// Whether a request is for the page itself, which needs no token.
pub(super) fn is_for_page(request: &Request) -> bool {
    let path = request.uri().path();
    path.starts_with(PREFIX) || (path == "/" && wants_html(request.headers()))
}

/// Whether the client is a browser that opens a page.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.to_ascii_lowercase().contains("text/html"))
}

/// The page.
pub(super) fn index() -> Response {
    respond("text/html; charset=utf-8", INDEX)
}

/// A file of the page.
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
    let mut files = FILES.iter().chain([&RUNBOOK]);
    let found = files.find(|(known, _)| *known == name);
    let (name, content) =
        found.ok_or_else(|| Problem::not_found(format!("the page has no file {name:?}")))?;
    Ok(respond(content_type(name), content))
}

fn respond(kind: &'static str, content: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    (headers, content).into_response()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        Some((_, "md")) => "text/markdown; charset=utf-8",
        _ => "text/javascript; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
        FILES.into_iter().chain([("index.html", INDEX)])
    }

    /// The files that a file refers to: what follows `marker` in quotes.
    fn references(content: &str, marker: &str) -> BTreeSet<String> {
        let parts = content.split(marker).skip(1);
        let names = parts.filter_map(|rest| rest.split('"').next());
        names.map(str::to_owned).collect()
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("page");
        let entries = std::fs::read_dir(folder).unwrap();
        let found: BTreeSet<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "README.md")
            .collect();
        let served: BTreeSet<String> = all().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(found, served);
    }

    #[test]
    fn every_reference_leads_to_a_file_and_every_file_is_referred_to() {
        let known: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut reached = references(INDEX, "\"/page/");
        loop {
            let of = |name: &String| FILES.iter().find(|(known, _)| known == name);
            let imports = reached.iter().filter_map(of);
            let next: BTreeSet<String> = imports
                .flat_map(|(_, content)| references(content, "from \"./"))
                .chain(reached.clone())
                .collect();
            if next == reached {
                break;
            }
            reached = next;
        }
        assert_eq!(reached, known);
    }

    #[test]
    fn nothing_is_inline_or_from_elsewhere_and_no_text_becomes_html() {
        for (name, content) in all() {
            let content = content.replace("\"http://www.w3.org/2000/svg\"", "");
            for word in [
                "http:",
                "https:",
                "\"//",
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "DOMParser",
                "document.write",
                "eval(",
                "new Function",
                "setTimeout(\"",
                "style=",
                "cssText",
                "javascript:",
                "@import",
                "url(",
                "document.cookie",
                "<style",
                "import(",
            ] {
                assert!(!content.contains(word), "{word} in {name}");
            }
            let words: Vec<&str> = content.split_whitespace().collect();
            let handler = words.iter().find(|word| {
                let name = word.split('=').next().unwrap_or_default();
                word.contains('=')
                    && name.len() > 2
                    && name.starts_with("on")
                    && name.bytes().all(|byte| byte.is_ascii_lowercase())
            });
            assert_eq!(handler, None, "in {name}");
        }
        let scripts = INDEX.matches("<script").count();
        assert_eq!(
            scripts,
            INDEX
                .matches("<script type=\"module\" src=\"/page/")
                .count()
        );
    }

    #[test]
    fn a_browser_gets_the_page_and_other_clients_do_not() {
        for (accept, is_browser) in [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                true,
            ),
            ("TEXT/HTML", true),
            ("*/*", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(wants_html(&headers), is_browser, "{accept}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn files_have_their_type_and_the_policy() {
        for (name, kind) in [
            ("main.js", "text/javascript; charset=utf-8"),
            ("base.css", "text/css; charset=utf-8"),
            ("icon.svg", "image/svg+xml"),
            ("operations.md", "text/markdown; charset=utf-8"),
        ] {
            let response = file(Path(name.to_owned())).await.unwrap();
            assert_eq!(response.headers()[CONTENT_TYPE], kind);
            assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], POLICY);
        }
        assert_eq!(index().headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(file(Path("../Cargo.toml".to_owned())).await.is_err());
    }
}
