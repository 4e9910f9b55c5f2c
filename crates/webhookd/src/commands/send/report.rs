//! Shows request and response of a test delivery, and what `webhookd run` would do next.

use crate::shown::{JsonRequest, Sent, Shown, lines, printable};
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
    /// Why the target's filters exclude it.
    pub(super) excluded: Option<&'a str>,
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
        self.shown().write_text(out, self.sent())?;
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

    fn shown(&self) -> Shown<'_> {
        Shown {
            target: self.target,
            secrets: self.show_secrets,
        }
    }

    fn sent(&self) -> Sent<'_> {
        let delivery = self.delivery;
        Sent {
            headers: &delivery.headers,
            body: &delivery.body,
            masked_body: &delivery.masked_body,
        }
    }

    pub(super) fn write_json(&self, out: &mut impl Write) -> Result<()> {
        let sent = self.delivery;
        let shown = self.shown();
        let json = Json {
            target: self.target.name().as_str(),
            url: shown.url(),
            id: &sent.id,
            delivered: sent.verdict == Verdict::Delivered,
            outcome: sent.outcome.name(),
            next_step: self.next_step(),
            hint: self.hint(),
            took_ms: sent.took.as_secs_f64() * 1_000.0,
            request: shown.request(self.sent()),
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
        if let Some(why) = self.excluded {
            if !hint.is_empty() {
                hint.push('\n');
            }
            hint.push_str(&format!(
                "`webhookd run` would not send this event: it does not match the target's filters \
                 ({why})"
            ));
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
