//! The requests of the page's views: crates/webhookd/page/*.js.

use anyhow::{Context, Result};
use testkit::Client;

/// Each view with the requests of its first load, which has nothing cached.
pub(super) const VIEWS: &[(&str, &[&str])] = &[
    (
        "every view",
        &["/api/v1/status", "/api/v1/session", "/api/v1/alerts"],
    ),
    (
        "overview",
        &[
            "/api/v1/targets",
            "/api/v1/history",
            "/api/v1/targets/owed/attempts?outcome=failed&limit=1",
            "/api/v1/targets/owed/waiting?limit=1",
            "/api/v1/queue",
            "/vars.json",
        ],
    ),
    (
        "target",
        &[
            "/api/v1/targets/owed",
            "/api/v1/targets/owed/waiting?limit=50",
            "/api/v1/targets/owed/attempts?limit=20",
            "/api/v1/history",
        ],
    ),
    (
        "target, attempts of a task",
        &[
            "/api/v1/targets/owed",
            "/api/v1/targets/owed/waiting?limit=50",
            "/api/v1/targets/owed/attempts?key=nothing&limit=20",
            "/api/v1/history",
        ],
    ),
    (
        "dead letters",
        &[
            "/api/v1/dead-letters?limit=100",
            "/api/v1/dead-letters/groups",
            "/api/v1/queue",
        ],
    ),
    (
        "dead letters, of a job",
        &[
            "/api/v1/dead-letters?job=refused%2F**&limit=100",
            "/api/v1/dead-letters/groups?job=refused%2F**",
            "/api/v1/queue",
        ],
    ),
    (
        "dead letters, none of which matches",
        &[
            "/api/v1/dead-letters?status=LOST&limit=100",
            "/api/v1/dead-letters/groups?status=LOST",
            "/api/v1/queue",
        ],
    ),
    ("dead letter", &["/api/v1/dead-letters/{letter}"]),
    ("task, owed", &["/api/v1/tasks/task-00000007"]),
    ("task, dead", &["/api/v1/tasks/{dead}"]),
    ("task, unknown", &["/api/v1/tasks/nothing"]),
    ("configuration", &["/api/v1/config"]),
    ("workers", &["/api/v1/workers", "/api/v1/queue"]),
    ("metrics", &["/metrics"]),
];

/// What the paths name.
#[derive(Debug)]
pub(super) struct Paths {
    letter: String,
    task: String,
}

impl Paths {
    /// Asks for the last dead letter of a page.
    pub(super) fn find(url: &str) -> Result<Paths> {
        let host = url.trim_start_matches("http://").trim_end_matches('/');
        let mut client = Client::connect(url).context("the admin API listens")?;
        let path = "/api/v1/dead-letters?limit=100";
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))?;
        let page = client.answer()?.json();
        let letters = page["deadLetters"].as_array();
        let letter = letters.and_then(|it| it.last());
        let letter = letter.context("there is no dead letter")?;
        let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
        Ok(Paths {
            letter: format!("{}?target=dead&entry={}", text("id"), letter["entry"]),
            task: text("task"),
        })
    }

    pub(super) fn fill(&self, request: &str) -> String {
        let filled = request.replace("{letter}", &self.letter);
        filled.replace("{dead}", &self.task)
    }
}
