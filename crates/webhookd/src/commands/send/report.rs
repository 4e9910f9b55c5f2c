//! Showing what was sent, what came back, and what would follow.

use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{Result, Write};
use std::time::Duration;
use webhook_config::{Delivery, Target};
use webhook_dispatch::retry::ceiling;
use webhook_dispatch::{TestDelivery, Verdict};

/// A trial, to be shown.
pub(super) struct Report<'a> {
    pub(super) target: &'a Target,
    pub(super) trial: &'a TestDelivery,
    pub(super) show_secrets: bool,
    pub(super) is_filtered_out: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    target: &'a str,
    url: String,
    id: &'a str,
    delivered: bool,
    outcome: &'static str,
    next_step: &'static str,
    hint: String,
    took_ms: f64,
    request: JsonRequest<'a>,
    /// `None` when there was no answer.
    response: Option<JsonResponse<'a>>,
    /// What happened; `None` if it was delivered.
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonRequest<'a> {
    headers: Vec<JsonHeader<'a>>,
    body: Cow<'a, str>,
}

#[derive(Serialize)]
struct JsonHeader<'a> {
    name: &'a str,
    value: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonResponse<'a> {
    status: u16,
    retry_after: Option<Cow<'a, str>>,
    body: Cow<'a, str>,
    complete: bool,
}

impl Report<'_> {
    pub(super) fn write_text(&self, out: &mut impl Write) -> Result<()> {
        let trial = self.trial;
        writeln!(out, "POST {}", self.target.url())?;
        if let Some(proxy) = self.target.proxy() {
            writeln!(out, "through the proxy {proxy}")?;
        }
        for (name, value) in &trial.headers {
            writeln!(out, "> {name}: {}", printable(&self.shown(name, value)))?;
        }
        writeln!(out, ">")?;
        lines(out, '>', &String::from_utf8_lossy(&trial.body))?;
        writeln!(out)?;
        match &trial.result {
            Ok(answer) => {
                writeln!(out, "< {}", answer.status)?;
                if let Some(value) = &answer.retry_after {
                    let value = String::from_utf8_lossy(value);
                    writeln!(out, "< retry-after: {}", printable(&value))?;
                }
                if !answer.body.is_empty() {
                    writeln!(out, "<")?;
                    lines(out, '<', &String::from_utf8_lossy(&answer.body))?;
                }
                if !answer.complete {
                    writeln!(
                        out,
                        "(not all of it: more than maxResponseBytes, too late, or cut off)"
                    )?;
                }
            }
            Err(error) => writeln!(out, "no answer: {}", printable(&error.message))?,
        }
        writeln!(out)?;
        let delivered = trial.verdict == Verdict::Delivered;
        let came_to = if delivered {
            "delivered"
        } else {
            "not delivered"
        };
        let took = trial.took.as_secs_f64() * 1_000.0;
        writeln!(
            out,
            "{came_to} ({}), in {took:.1} ms, connecting included",
            trial.outcome
        )?;
        if !delivered {
            writeln!(out, "{}", printable(&trial.detail))?;
        }
        let hint = self.hint();
        if !hint.is_empty() {
            writeln!(out, "{hint}")?;
        }
        Ok(())
    }

    pub(super) fn write_json(&self, out: &mut impl Write) -> Result<()> {
        let trial = self.trial;
        let json = Json {
            target: self.target.name().as_str(),
            url: self.target.url().to_string(),
            id: &trial.id,
            delivered: trial.verdict == Verdict::Delivered,
            outcome: trial.outcome.name(),
            next_step: self.next_step(),
            hint: self.hint(),
            took_ms: trial.took.as_secs_f64() * 1_000.0,
            request: JsonRequest {
                headers: trial
                    .headers
                    .iter()
                    .map(|(name, value)| JsonHeader {
                        name: name.as_str(),
                        value: self.shown(name, value),
                    })
                    .collect(),
                body: String::from_utf8_lossy(&trial.body),
            },
            response: trial.result.as_ref().ok().map(|answer| JsonResponse {
                status: answer.status,
                retry_after: answer.retry_after.as_deref().map(String::from_utf8_lossy),
                body: String::from_utf8_lossy(&answer.body),
                complete: answer.complete,
            }),
            error: Some(trial.detail.as_str()).filter(|detail| !detail.is_empty()),
        };
        serde_json::to_writer(&mut *out, &json)?;
        writeln!(out)
    }

    /// A header's value, or what stands for it if it may be a secret.
    fn shown<'a>(&'a self, name: &HeaderName, value: &'a HeaderValue) -> Cow<'a, str> {
        let of_the_target = self
            .target
            .header_list()
            .iter()
            .find(|header| header.name() == name && header.value() == value);
        match of_the_target {
            Some(header) if !self.show_secrets => Cow::Borrowed(header.shown()),
            _ => String::from_utf8_lossy(value.as_bytes()),
        }
    }

    /// What `webhookd run` would do now: `nothing`, `retry`, `dead-letter` or `stop`.
    fn next_step(&self) -> &'static str {
        match self.trial.verdict {
            Verdict::Delivered => "nothing",
            _ if self.target.delivery() == Delivery::BestEffort => "nothing",
            Verdict::Refused => "dead-letter",
            Verdict::Gone => "stop",
            _ if self.is_last_attempt() => "dead-letter",
            _ => "retry",
        }
    }

    fn is_last_attempt(&self) -> bool {
        let most = self.target.retry().max_attempts();
        most.is_some_and(|most| most.get() == 1)
    }

    fn hint(&self) -> String {
        let mut hint = match (self.trial.verdict, self.next_step()) {
            (Verdict::Delivered, _) => String::new(),
            (_, "nothing") => "`webhookd run` would leave it at that: the target is best-effort, \
                 which means one attempt"
                .to_owned(),
            (_, "retry") => format!("`webhookd run` would try it again after {}", self.wait()),
            (_, "stop") => "`webhookd run` would stop this target and keep what it is owed, since \
                 410 says that the receiver wants nothing any more"
                .to_owned(),
            (Verdict::Refused, _) => "`webhookd run` would make it a dead letter at once: this \
                 status says that the receiver will never take this body"
                .to_owned(),
            _ => "`webhookd run` would make it a dead letter, since retry.maxAttempts is 1"
                .to_owned(),
        };
        if self.is_filtered_out {
            if !hint.is_empty() {
                hint.push('\n');
            }
            hint.push_str(
                "`webhookd run` would not send this event there: the target's filters (statuses, \
                 jobs, initialEvents) leave it out",
            );
        }
        hint
    }

    fn wait(&self) -> String {
        let drawn = ceiling(self.target.retry(), 1);
        match self.trial.retry_after {
            Some(asked) if asked >= drawn => {
                format!("{}, as Retry-After asks", seconds(asked))
            }
            Some(asked) => format!(
                "at least {}, as Retry-After asks, and at most {}",
                seconds(asked),
                seconds(drawn)
            ),
            None => format!("at most {}", seconds(drawn)),
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// A text, each line after a mark.
fn lines(out: &mut impl Write, mark: char, text: &str) -> Result<()> {
    for line in text.lines() {
        writeln!(out, "{mark} {}", printable(line))?;
    }
    Ok(())
}

/// Without what a terminal obeys: some of it is the receiver's.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}
