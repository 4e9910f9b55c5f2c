//! Shows request and response of a test delivery, and what `webhookd run` would do next.

use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{Result, Write};
use std::time::Duration;
use webhook_config::{Delivery, Target};
use webhook_dispatch::retry::ceiling;
use webhook_dispatch::{TestDelivery, Verdict};

/// A test delivery, to be shown.
pub(super) struct Report<'a> {
    pub(super) target: &'a Target,
    pub(super) delivery: &'a TestDelivery,
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
    /// `None` when there was no response.
    response: Option<JsonResponse<'a>>,
    /// What went wrong; `None` if it was delivered.
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
        let sent = self.delivery;
        writeln!(out, "POST {}", self.url())?;
        if let Some(proxy) = self.target.proxy() {
            writeln!(out, "through the proxy {proxy}")?;
        }
        for (name, value) in &sent.headers {
            writeln!(out, "> {name}: {}", printable(&self.shown(name, value)))?;
        }
        writeln!(out, ">")?;
        lines(out, '>', &self.body())?;
        writeln!(out)?;
        match &sent.result {
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
                        "(incomplete: longer than maxResponseBytes, too late, or cut off)"
                    )?;
                }
            }
            Err(error) => writeln!(out, "no response: {}", printable(&error.message))?,
        }
        writeln!(out)?;
        let delivered = sent.verdict == Verdict::Delivered;
        let result = if delivered {
            "delivered"
        } else {
            "not delivered"
        };
        let took = sent.took.as_secs_f64() * 1_000.0;
        writeln!(
            out,
            "{result} ({}), in {took:.1} ms, connecting included",
            sent.outcome
        )?;
        if !delivered {
            writeln!(out, "{}", printable(&sent.detail))?;
        }
        let hint = self.hint();
        if !hint.is_empty() {
            writeln!(out, "{hint}")?;
        }
        Ok(())
    }

    /// The URL, its secrets masked unless they are to be shown.
    fn url(&self) -> String {
        let url = self.target.url();
        if self.show_secrets {
            url.as_uri().to_string()
        } else {
            url.to_string()
        }
    }

    pub(super) fn write_json(&self, out: &mut impl Write) -> Result<()> {
        let sent = self.delivery;
        let json = Json {
            target: self.target.name().as_str(),
            url: self.url(),
            id: &sent.id,
            delivered: sent.verdict == Verdict::Delivered,
            outcome: sent.outcome.name(),
            next_step: self.next_step(),
            hint: self.hint(),
            took_ms: sent.took.as_secs_f64() * 1_000.0,
            request: JsonRequest {
                headers: sent
                    .headers
                    .iter()
                    .map(|(name, value)| JsonHeader {
                        name: name.as_str(),
                        value: self.shown(name, value),
                    })
                    .collect(),
                body: self.body(),
            },
            response: sent.result.as_ref().ok().map(|answer| JsonResponse {
                status: answer.status,
                retry_after: answer.retry_after.as_deref().map(String::from_utf8_lossy),
                body: String::from_utf8_lossy(&answer.body),
                complete: answer.complete,
            }),
            error: Some(sent.detail.as_str()).filter(|detail| !detail.is_empty()),
        };
        serde_json::to_writer(&mut *out, &json)?;
        writeln!(out)
    }

    /// The body, the secrets of its template masked unless they are to be shown.
    fn body(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(if self.show_secrets {
            &self.delivery.body
        } else {
            &self.delivery.masked_body
        })
    }

    /// A header's value, masked if it may be a secret.
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
        match self.delivery.verdict {
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
        let mut hint = match (self.delivery.verdict, self.next_step()) {
            (Verdict::Delivered, _) => String::new(),
            (_, "nothing") => "`webhookd run` would not try again: a best-effort target gets one \
                 attempt"
                .to_owned(),
            (_, "retry") => format!("`webhookd run` would try it again after {}", self.wait()),
            (_, "stop") => "`webhookd run` would stop this target and keep its events, since 410 \
                 says that the receiver is gone for good"
                .to_owned(),
            (Verdict::Refused, _) => "`webhookd run` would make it a dead letter at once: this \
                 status says that the receiver will never accept this body"
                .to_owned(),
            _ => "`webhookd run` would make it a dead letter, since retry.maxAttempts is 1"
                .to_owned(),
        };
        if self.is_filtered_out {
            if !hint.is_empty() {
                hint.push('\n');
            }
            hint.push_str(
                "`webhookd run` would not send this event: it does not match the target's filters \
                 (statuses, jobs, initialEvents)",
            );
        }
        hint
    }

    fn wait(&self) -> String {
        let drawn = ceiling(self.target.retry(), 1);
        match self.delivery.retry_after {
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

/// Writes a text, with a mark before each line.
fn lines(out: &mut impl Write, mark: char, text: &str) -> Result<()> {
    for line in text.lines() {
        writeln!(out, "{mark} {}", printable(line))?;
    }
    Ok(())
}

/// Escapes control characters: the text may come from the receiver.
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
