//! The effective configuration, as a file that says everything.

use crate::config::Config;
use crate::filter::{JobFilter, StatusFilter};
use crate::header::Header;
use crate::queue::QueueSettings;
use crate::retry::RetryPolicy;
use crate::secret::{MASK, SecretSource, looks_secret};
use crate::target::Target;
use crate::tls::Tls;
use serde_json::{Map, Value, json};
use std::time::Duration;

impl Config {
    /// All values with their defaults, in the form of the file, secrets masked.
    ///
    /// Shown as `***` is whatever came from the environment or a file, whatever signs or
    /// authenticates, and a header whose name or value looks like a credential. A header's other
    /// text is given as it was read; a warning of the file says where HTTP cannot carry it so.
    #[must_use]
    pub fn show(&self) -> Value {
        let targets: Vec<_> = self.targets.iter().map(target).collect();
        json!({
            "targets": targets,
            "queue": queue(&self.queue),
            "maxEventBytes": self.max_event_bytes,
        })
    }
}

fn target(target: &Target) -> Value {
    let statuses = match &target.statuses {
        StatusFilter::All => Value::Null,
        StatusFilter::Only(only) => only.iter().map(|status| status.name()).collect(),
    };
    let jobs = match &target.jobs {
        JobFilter::All => Value::Null,
        JobFilter::Matching(patterns) => patterns.iter().map(|pattern| pattern.as_str()).collect(),
    };
    let signing = target.signing.as_ref().map(|signing| {
        let secrets: Vec<_> = signing.secrets().iter().map(|_| MASK).collect();
        json!({ "secrets": secrets })
    });
    json!({
        "name": target.name.as_str(),
        "targetURL": target.url.to_string(),
        "headers": headers(&target.headers),
        "timeoutMsec": msec(target.connect_timeout),
        "responseTimeoutMsec": msec(target.response_timeout),
        "statuses": statuses,
        "jobs": jobs,
        "initialEvents": target.initial_events,
        "format": target.format.name(),
        "delivery": target.delivery.name(),
        "retry": retry(&target.retry),
        "concurrency": target.concurrency,
        "window": target.window,
        "maxPerSecond": target.max_per_second,
        "maxResponseBytes": target.max_response_bytes,
        "signing": signing,
        "tls": tls(&target.tls),
        "proxy": target.proxy.as_ref().map(ToString::to_string),
    })
}

fn headers(headers: &[Header]) -> Value {
    let shown = |header: &Header| {
        let name = header.written_name();
        let is_plain = *header.source() == SecretSource::Literal;
        if is_plain && !looks_secret(name, header.text()) {
            header.text()
        } else {
            MASK
        }
        .to_owned()
    };
    let map: Map<_, _> = headers
        .iter()
        .map(|header| {
            (
                header.written_name().to_owned(),
                Value::String(shown(header)),
            )
        })
        .collect();
    Value::Object(map)
}

fn retry(retry: &RetryPolicy) -> Value {
    json!({
        "initialMsec": msec(retry.initial()),
        "maxMsec": msec(retry.max()),
        "multiplier": retry.multiplier(),
        "maxAgeMsec": msec(retry.max_age()),
        "maxAttempts": retry.max_attempts(),
    })
}

fn tls(tls: &Tls) -> Value {
    let masked = |is_set: bool| {
        if is_set {
            Value::from(MASK)
        } else {
            Value::Null
        }
    };
    json!({
        "ca": masked(tls.ca_pem().is_some()),
        "clientCert": masked(tls.client().is_some()),
        "clientKey": masked(tls.client().is_some()),
    })
}

fn queue(queue: &QueueSettings) -> Value {
    json!({
        "dir": queue.dir.display().to_string(),
        "maxBytes": queue.max_bytes,
        "whenFull": queue.when_full.name(),
    })
}

fn msec(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
