//! The configuration in force, defaults included, as a file.

use crate::batch::BatchPolicy;
use crate::breaker::BreakerPolicy;
use crate::filter::{JobFilter, StatusFilter};
use crate::input::{InputFilter, InputName, Inputs};
use crate::name::TargetName;
use crate::postgres::PostgresSettings;
use crate::queue::QueueSettings;
use crate::retry::RetryPolicy;
use crate::secret::{MASK, looks_secret};
use crate::show_parts::{ShownHeaders, ShownTls, msec, show_tls};
use crate::show_sources::{ShownSource, show_source};
use crate::source::Source;
use crate::target::Target;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::num::{NonZeroU32, NonZeroUsize};
use webhook_event::Condition;

/// See [`Config::show`](crate::Config::show).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownConfig<'a> {
    targets: Vec<ShownTarget<'a>>,
    events: &'a Value,
    inputs: ShownInputs<'a>,
    queue: ShownQueue,
    max_event_bytes: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<ShownSource<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notices: Option<ShownNotices<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownNotices<'a> {
    target: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownTarget<'a> {
    name: &'a str,
    #[serde(rename = "targetURL")]
    url: String,
    method: &'static str,
    headers: ShownHeaders<'a>,
    timeout_msec: u64,
    response_timeout_msec: u64,
    inputs: Option<Vec<&'a str>>,
    statuses: Option<&'a [String]>,
    jobs: Option<Vec<&'a str>>,
    r#where: Vec<&'a Value>,
    initial_events: bool,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<Value>,
    max_body_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_events: Option<&'a Value>,
    batch: Option<ShownBatch>,
    delivery: &'static str,
    retry: ShownRetry,
    breaker: ShownBreaker,
    concurrency: NonZeroUsize,
    window: NonZeroUsize,
    max_per_second: Option<NonZeroU32>,
    max_owed_bytes: Option<u64>,
    retain: Option<ShownRetain>,
    max_response_bytes: u64,
    max_connection_age_msec: u64,
    signing: Option<ShownSigning>,
    oauth2: Option<ShownOAuth2<'a>>,
    tls: Option<ShownTls>,
    proxy: Option<String>,
}

#[derive(Debug)]
struct ShownInputs<'a>(&'a Inputs);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownBatch {
    max_events: NonZeroUsize,
    max_bytes: NonZeroUsize,
    max_wait_msec: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRetain {
    max_age_msec: u64,
    max_bytes: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRetry {
    initial_msec: u64,
    max_msec: u64,
    multiplier: f64,
    max_age_msec: u64,
    max_attempts: Option<NonZeroU32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownBreaker {
    max_msec: u64,
    max_refusals: NonZeroU32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownOAuth2<'a> {
    #[serde(rename = "tokenURL")]
    token_url: String,
    client_id: &'a str,
    client_secret: &'static str,
    scopes: &'a [String],
    audience: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ShownSigning {
    secrets: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownQueue {
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postgres: Option<ShownPostgres>,
    max_bytes: u64,
    when_full: &'static str,
    dead_letters: ShownDeadLetters,
    max_last_states: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownPostgres {
    url: String,
    schema: String,
    slots: u16,
    lease_msec: u64,
    poll_msec: u64,
    tls: Option<ShownTls>,
    state_dir: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownDeadLetters {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u64>,
    max_count: u64,
    max_age_msec: u64,
}

impl<'a> ShownConfig<'a> {
    pub(crate) fn new(
        targets: &'a [Target],
        inputs: &'a Inputs,
        queue: &QueueSettings,
        max_event_bytes: usize,
        sources: &'a [Source],
        notices: Option<&'a TargetName>,
    ) -> ShownConfig<'a> {
        ShownConfig {
            targets: targets.iter().map(show_target).collect(),
            events: inputs.default.settings(),
            inputs: ShownInputs(inputs),
            queue: show_queue(queue),
            max_event_bytes,
            sources: sources.iter().map(show_source).collect(),
            notices: notices.map(|target| ShownNotices {
                target: target.as_str(),
            }),
        }
    }
}

fn show_target<'a>(target: &'a Target) -> ShownTarget<'a> {
    let listed = |name: &'a String| match name.as_str() {
        "" => InputName::DEFAULT,
        name => name,
    };
    let inputs = match target.inputs() {
        InputFilter::All => None,
        InputFilter::Only(only) => Some(only.iter().map(listed).collect()),
    };
    let statuses = match target.statuses() {
        StatusFilter::All => None,
        StatusFilter::Only(only) => Some(only.as_slice()),
    };
    let jobs = match target.jobs() {
        JobFilter::All => None,
        JobFilter::Matching(patterns) => {
            Some(patterns.iter().map(|pattern| pattern.as_str()).collect())
        }
    };
    let signing = target.signing().map(|signing| ShownSigning {
        secrets: signing.secrets().iter().map(|_| MASK).collect(),
    });
    ShownTarget {
        name: target.name().as_str(),
        url: target.url().to_string(),
        method: target.method().name(),
        headers: ShownHeaders(target.header_list()),
        timeout_msec: msec(target.connect_timeout()),
        response_timeout_msec: msec(target.response_timeout()),
        inputs,
        statuses,
        jobs,
        r#where: target
            .conditions()
            .iter()
            .map(Condition::settings)
            .collect(),
        initial_events: target.initial_events(),
        format: target.format().name(),
        template: target
            .template()
            .map(|template| masked("", template.source())),
        max_body_bytes: target.max_body_bytes(),
        cloud_events: Some(target.cloud_events().written()).filter(|written| !written.is_null()),
        batch: target.batch().map(show_batch),
        delivery: target.delivery().name(),
        retry: show_retry(target.retry()),
        breaker: show_breaker(target.breaker()),
        concurrency: target.concurrency(),
        window: target.window(),
        max_per_second: target.max_per_second(),
        max_owed_bytes: target.max_owed_bytes(),
        retain: target.retain().map(|retain| ShownRetain {
            max_age_msec: msec(retain.max_age()),
            max_bytes: retain.max_bytes(),
        }),
        max_response_bytes: target.max_response_bytes(),
        max_connection_age_msec: msec(target.max_connection_age()),
        signing,
        oauth2: target.oauth2().map(|oauth2| ShownOAuth2 {
            token_url: oauth2.token_url().to_string(),
            client_id: oauth2.client_id(),
            client_secret: MASK,
            scopes: oauth2.scopes(),
            audience: oauth2.audience(),
        }),
        tls: show_tls(target.tls()),
        proxy: target.proxy().map(ToString::to_string),
    }
}

impl Serialize for ShownInputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = self.0.named.iter();
        serializer.collect_map(named.map(|(name, schema)| (name.as_str(), schema.settings())))
    }
}

/// The template at a member's name. Text without values is masked if it looks like a credential.
fn masked(name: &str, template: &Value) -> Value {
    match template {
        // A pointer, or the name of a variable or a file.
        Value::String(_) if matches!(name, "$at" | "$env" | "$file") => template.clone(),
        Value::String(text) if !text.contains('{') && looks_secret(name, text) => MASK.into(),
        Value::Array(items) => items.iter().map(|item| masked(name, item)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), masked(name, value)))
            .collect(),
        scalar => scalar.clone(),
    }
}

fn show_batch(batch: &BatchPolicy) -> ShownBatch {
    ShownBatch {
        max_events: batch.max_events(),
        max_bytes: batch.max_bytes(),
        max_wait_msec: msec(batch.max_wait()),
    }
}

fn show_retry(retry: &RetryPolicy) -> ShownRetry {
    ShownRetry {
        initial_msec: msec(retry.initial()),
        max_msec: msec(retry.max()),
        multiplier: retry.multiplier(),
        max_age_msec: msec(retry.max_age()),
        max_attempts: retry.max_attempts(),
    }
}

fn show_breaker(breaker: &BreakerPolicy) -> ShownBreaker {
    ShownBreaker {
        max_msec: msec(breaker.max()),
        max_refusals: breaker.max_refusals(),
    }
}

fn show_queue(queue: &QueueSettings) -> ShownQueue {
    let dir = queue.dir.display().to_string();
    let (dir, postgres) = match queue.postgres() {
        None => (Some(dir), None),
        Some(postgres) => (None, Some(show_postgres(postgres, dir))),
    };
    ShownQueue {
        dir,
        postgres,
        max_bytes: queue.max_bytes,
        when_full: queue.when_full.name(),
        dead_letters: ShownDeadLetters {
            max_bytes: queue.dead_letters.max_bytes,
            max_count: queue.dead_letters.max_count,
            max_age_msec: msec(queue.dead_letters.max_age),
        },
        max_last_states: queue.max_last_states,
    }
}

fn show_postgres(postgres: &PostgresSettings, state_dir: String) -> ShownPostgres {
    ShownPostgres {
        url: postgres.url.to_string(),
        schema: postgres.schema.to_string(),
        slots: postgres.slots,
        lease_msec: msec(postgres.lease),
        poll_msec: msec(postgres.poll),
        tls: show_tls(&postgres.tls),
        state_dir,
    }
}
