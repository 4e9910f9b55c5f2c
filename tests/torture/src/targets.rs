//! The targets: their filters, and their configuration.

use crate::events::Fields;
use crate::history::Limits;
use serde_json::{Value, json};
use std::time::Duration;

/// How long webhookd waits for an answer.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_millis(800);

/// A whole success that took no longer than this cannot have been taken for a time-out.
pub(crate) const GOOD_TIME: Duration = Duration::from_millis(200);

const TERMINAL: &[&str] = &["FAILED", "FINISHED", "KILLED", "LOST"];

/// A target of the torture.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    window: usize,
    concurrency: usize,
    max_attempts: Option<u32>,
    max_owed_bytes: Option<u64>,
    /// The most events in a request, if several may share one.
    batch: Option<usize>,
    filter: Filter,
}

/// Which events a target wants.
#[derive(Clone, Copy, Debug)]
enum Filter {
    All,
    /// Tasks that have ended.
    Terminal,
    /// Transitions of one environment's jobs.
    Production,
}

/// All of them: a wide one, a narrow one, one with a bound on attempts, one with a filter, one with
/// batches, and one with a quota of some 300 events.
pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "wide",
        window: 1024,
        concurrency: 16,
        max_attempts: None,
        max_owed_bytes: None,
        batch: None,
        filter: Filter::All,
    },
    Target {
        name: "narrow",
        window: 64,
        concurrency: 4,
        max_attempts: None,
        max_owed_bytes: None,
        batch: None,
        filter: Filter::All,
    },
    Target {
        name: "bounded",
        window: 256,
        concurrency: 8,
        max_attempts: Some(5),
        max_owed_bytes: None,
        batch: None,
        filter: Filter::Terminal,
    },
    Target {
        name: "filtered",
        window: 256,
        concurrency: 8,
        max_attempts: None,
        max_owed_bytes: None,
        batch: None,
        filter: Filter::Production,
    },
    Target {
        name: "batched",
        window: 512,
        concurrency: 4,
        max_attempts: None,
        max_owed_bytes: None,
        batch: Some(50),
        filter: Filter::All,
    },
    Target {
        name: "quota",
        window: 128,
        concurrency: 8,
        max_attempts: None,
        max_owed_bytes: Some(1 << 20),
        batch: None,
        filter: Filter::All,
    },
];

impl Target {
    fn wants(&self, event: Fields) -> bool {
        match self.filter {
            Filter::All => true,
            Filter::Terminal => TERMINAL.contains(&event.status),
            Filter::Production => event.environment == "prod" && event.old_status.is_some(),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            name: self.name,
            // What was delivered and not yet synced, and what was under way.
            most_repeated: self.window + 2 * self.concurrency * self.batch.unwrap_or(1),
            gives_up: self.max_attempts.is_some(),
            has_quota: self.max_owed_bytes.is_some(),
            has_batches: self.batch.is_some(),
        }
    }

    fn config(&self, url: &str) -> Value {
        let mut config = json!({
            "name": self.name,
            "targetURL": url,
            "headers": { "Content-Type": "application/json" },
            "timeoutMsec": 1000,
            "responseTimeoutMsec": RESPONSE_TIMEOUT.as_millis() as u64,
            "window": self.window,
            "concurrency": self.concurrency,
            "retry": {
                "initialMsec": 5,
                "maxMsec": 2000,
                "maxAttempts": self.max_attempts,
            },
            "maxOwedBytes": self.max_owed_bytes,
        });
        if let Some(most) = self.batch {
            config["headers"] = json!({});
            config["format"] = json!("ndjson");
            config["batch"] = json!({ "maxEvents": most });
        }
        match self.filter {
            Filter::All => {}
            Filter::Terminal => config["statuses"] = json!(TERMINAL),
            Filter::Production => {
                config["jobs"] = json!(["*/prod/*"]);
                config["initialEvents"] = json!(false);
            }
        }
        config
    }
}

/// The targets that want an event: bit *n* is target *n*.
pub(crate) fn wanted(event: Fields) -> u32 {
    let mut wanted = 0;
    for (index, target) in TARGETS.iter().enumerate() {
        wanted |= u32::from(target.wants(event)) << index;
    }
    wanted
}

/// A webhook.json that reaches these targets at `urls`.
pub(crate) fn webhook_json(targets: &[Target], urls: &[String]) -> Value {
    let targets: Vec<Value> = targets
        .iter()
        .zip(urls)
        .map(|(target, url)| target.config(url))
        .collect();
    json!({ "targets": targets, "queue": { "maxBytes": 4_u64 << 30 } })
}
