//! `/api/v1/targets/{name}/test`: a test delivery that bypasses the queue.

use super::super::answer::{Json, blocking};
use super::super::problem::Problem;
use super::request::{Body, Query, bytes, check_json, finish};
use super::targets::unknown;
use crate::daemon::Daemon;
use crate::shown::{Sent, Shown};
use crate::sources::{Document, unknown_input};
use crate::test_event::read_one;
use axum::extract::{Path, Query as Parts, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::Semaphore;
use webhook_config::{Config, InputName, Target};
use webhook_dispatch::{HttpConnector, ParsedEvent, TestDelivery, attempt_once};

/// Test deliveries at once. Each holds a thread for as long as its target's time-out.
const AT_ONCE: usize = 4;
static PERMITS: Semaphore = Semaphore::const_new(AT_ONCE);

/// The event that is sent if the request has none, in Aurora's format.
const SAMPLE: &str = concat!(
    r#"{"task":{"assignedTask":{"taskId":"webhookd-test","task":{"job":{"role":"webhookd","#,
    r#""environment":"test","name":"test"}},"instanceId":0},"status":"RUNNING","failureCount":0,"#,
    r#""taskEvents":[]},"oldState":{"value":"STARTING"}}"#
);

#[derive(Serialize)]
pub(super) struct Tested {
    request: RequestJson,
    /// `None` if there was none.
    answer: Option<AnswerJson>,
    /// Why it is not delivered.
    error: Option<String>,
    milliseconds: f64,
}

#[derive(Serialize)]
struct RequestJson {
    method: &'static str,
    url: String,
    headers: Vec<[String; 2]>,
    body: String,
}

#[derive(Serialize)]
struct AnswerJson {
    status: u16,
    headers: Vec<[String; 2]>,
    body: String,
}

pub(super) async fn send(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
    Parts(mut query): Parts<Query>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Tested>, Problem> {
    let input = query.remove("input").unwrap_or_default();
    finish(&query, "input")?;
    let body = bytes(body)?;
    if !body.is_empty() {
        check_json(&headers)?;
    }
    let config = daemon.control.config();
    if !config.targets().iter().any(|it| it.name().as_str() == name) {
        return Err(unknown(&name));
    }
    let Ok(permit) = PERMITS.try_acquire() else {
        return Err(Problem::conflict(format!(
            "{AT_ONCE} test deliveries are under way; try again later"
        )));
    };
    let tested = blocking(move || {
        let _permit = permit;
        let target = config
            .targets()
            .iter()
            .find(|it| it.name().as_str() == name)
            .ok_or_else(|| unknown(&name))?;
        let event = match body.is_empty() {
            true => sample(target),
            false => read(&config, &input, &body),
        };
        let event = event.map_err(|error| Problem::bad_request(format!("{error:#}")))?;
        let delivery = attempt_once(target, &event, &HttpConnector::new()).map_err(|error| {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                crate::console::chain(&error),
            )
        })?;
        Ok(Tested::new(target, &delivery))
    });
    tested.await?.map(Json::of)
}

/// Reads the event of a request's body.
fn read(config: &Config, input: &str, body: &[u8]) -> anyhow::Result<ParsedEvent> {
    let input = match input {
        InputName::DEFAULT => "",
        name => name,
    };
    let Some(schema) = config.input(input) else {
        anyhow::bail!("{}", unknown_input(config, input));
    };
    let document = Document::read(schema, body.trim_ascii().into());
    let document = document.map_err(|(_, why)| anyhow::anyhow!("the body: {why}"))?;
    read_one(config, (input, schema), &document, "the body").map(|(event, _)| event)
}

/// The sample event, which the default input of this configuration may not understand.
fn sample(target: &Target) -> anyhow::Result<ParsedEvent> {
    let config = Config::builder().target(target.clone()).build()?;
    read(&config, "", SAMPLE.as_bytes())
}

impl Tested {
    fn new(target: &Target, delivery: &TestDelivery) -> Tested {
        let shown = Shown {
            target,
            secrets: false,
        };
        let sent = Sent {
            headers: &delivery.headers,
            body: &delivery.body,
            masked_body: &delivery.masked_body,
        };
        let headers = shown.headers(sent);
        Tested {
            request: RequestJson {
                method: target.method().name(),
                url: shown.url(),
                headers: headers
                    .map(|(name, value)| [name.to_owned(), value.into_owned()])
                    .collect(),
                body: shown.body(sent).into_owned(),
            },
            answer: delivery.result.as_ref().ok().map(|answer| AnswerJson {
                status: answer.status,
                headers: answer
                    .retry_after
                    .iter()
                    .map(|value| ["retry-after".to_owned(), shown.answer(value)])
                    .collect(),
                body: shown.answer(&answer.body),
            }),
            error: Some(delivery.detail.clone()).filter(|it| !it.is_empty()),
            milliseconds: delivery.took.as_secs_f64() * 1e3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use webhook_config::TargetUrl;

    #[test]
    fn the_sample_is_an_event() {
        let url = TargetUrl::parse("http://localhost/").unwrap();
        let event = sample(&Target::builder(url).build().unwrap()).unwrap();
        assert_eq!(event.key, "webhookd-test");
        assert_eq!(&*event.body, SAMPLE.as_bytes());
    }
}
