//! `webhookd send --dry-run`: what would become of the events of a document, without sending any.

use crate::shown::{JsonRequest, Sent, Shown, printable};
use crate::sources::{Document, NotUnderstood, check_cloud_event};
use serde::Serialize;
use std::io::{Result, Write};
use webhook_config::{Config, Target};
use webhook_dispatch::{
    DryRun, ParsedEvent, Submission, TestRequest, dry_run, rfc3339, test_request,
};
use webhook_event::Schema;

/// A document, an input, and the targets to ask.
pub(super) struct Question<'a> {
    pub(super) config: &'a Config,
    /// Empty for the default input.
    pub(super) input: &'a str,
    pub(super) schema: &'a Schema,
    /// This target only.
    pub(super) target: Option<&'a Target>,
    pub(super) show_secrets: bool,
}

/// What would become of an event.
struct Outcome {
    read: std::result::Result<DryRun, NotUnderstood>,
    routes: Vec<Route>,
}

/// What a target would do with it.
struct Route {
    target: Target,
    /// The request, or why there is none.
    request: std::result::Result<TestRequest, String>,
    /// Whether the target's filters accept it.
    matches: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    input: &'a str,
    events: Vec<JsonEvent<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonEvent<'a> {
    understood: bool,
    ignored: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(flatten)]
    fields: Option<JsonFields<'a>>,
    targets: Vec<JsonRoute<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonFields<'a> {
    key: &'a str,
    state: Option<&'a str>,
    old_state: Option<&'a str>,
    job: &'a [String],
    id: Option<&'a str>,
    time: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonRoute<'a> {
    target: &'a str,
    matches: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<JsonRequest<'a>>,
}

impl Question<'_> {
    /// Answers for each event of a document, as text. Returns whether each is understood, and can
    /// be sent to each target that it matches.
    pub(super) fn write_text(&self, document: &Document, out: &mut impl Write) -> Result<bool> {
        let mut is_ok = true;
        for index in 0..document.len() {
            let outcome = self.ask(document, index);
            is_ok &= outcome.is_ok();
            if let Some(events) = document.several() {
                writeln!(out, "event {} of {events}", index + 1)?;
            }
            self.write_outcome(&outcome, out)?;
            if index + 1 < document.len() {
                writeln!(out)?;
            }
        }
        if document.len() == 0 {
            writeln!(out, "the document has no events")?;
        }
        Ok(is_ok)
    }

    fn write_outcome(&self, outcome: &Outcome, out: &mut impl Write) -> Result<()> {
        let event = match &outcome.read {
            Err(why) => return writeln!(out, "not understood: {}", printable(&why.why)),
            Ok(DryRun { event: None, .. }) => return writeln!(out, "ignored by its input"),
            Ok(DryRun {
                event: Some(event), ..
            }) => event,
        };
        let fields = JsonFields::of(event);
        for (name, value) in [
            ("key", Some(fields.key.to_owned())),
            ("state", fields.state.map(str::to_owned)),
            ("old state", fields.old_state.map(str::to_owned)),
            (
                "job",
                Some(fields.job.join("/")).filter(|job| !job.is_empty()),
            ),
            ("id", fields.id.map(str::to_owned)),
            ("time", fields.time),
        ] {
            let value = value.map_or_else(|| "none".to_owned(), |value| printable(&value));
            writeln!(out, "{name:<10}{value}")?;
        }
        if self.schema.only_changes() {
            writeln!(
                out,
                "its input delivers changes only: no event whose state is the last one of its key, and \
                 the first event of a key not to targets with \"initialEvents\": false"
            )?;
        }
        for route in &outcome.routes {
            let name = route.target.name();
            match &route.request {
                Ok(request) => {
                    writeln!(out, "target {name}: would get it")?;
                    self.shown(&route.target).write_text(out, sent(request))?;
                }
                Err(why) if route.matches => {
                    writeln!(out, "target {name}: matches, but {}", printable(why))?;
                }
                Err(why) => writeln!(out, "target {name}: would not get it: {}", printable(why))?,
            }
        }
        Ok(())
    }

    /// As [`Question::write_text`], as one JSON document.
    pub(super) fn write_json(&self, document: &Document, out: &mut impl Write) -> Result<bool> {
        let outcomes = (0..document.len()).map(|index| self.ask(document, index));
        let outcomes: Vec<Outcome> = outcomes.collect();
        let json = Json {
            input: crate::sources::shown_input(self.input),
            events: outcomes.iter().map(|it| self.to_json(it)).collect(),
        };
        serde_json::to_writer(&mut *out, &json)?;
        writeln!(out)?;
        Ok(outcomes.iter().all(Outcome::is_ok))
    }

    fn to_json<'a>(&self, outcome: &'a Outcome) -> JsonEvent<'a> {
        let read = outcome.read.as_ref();
        let event = read.ok().and_then(|read| read.event.as_ref());
        let routes = outcome.routes.iter().map(|route| {
            let shown = self.shown(&route.target);
            let request = route.request.as_ref().ok();
            JsonRoute {
                target: route.target.name().as_str(),
                matches: route.matches,
                why: route.request.as_ref().err().map(String::as_str),
                url: request.map(|_| shown.url()),
                request: request.map(|request| shown.request(sent(request))),
            }
        });
        JsonEvent {
            understood: read.is_ok(),
            ignored: read.is_ok() && event.is_none(),
            error: read.err().map(|why| why.why.as_str()),
            fields: event.map(JsonFields::of),
            targets: routes.collect(),
        }
    }

    fn shown<'a>(&self, target: &'a Target) -> Shown<'a> {
        Shown {
            target,
            secrets: self.show_secrets,
        }
    }

    fn ask(&self, document: &Document, index: usize) -> Outcome {
        let read = self.read(document, index);
        let routes = match &read {
            Ok(DryRun {
                event: Some(event),
                routes,
                ..
            }) => self.routes(event, routes),
            _ => Vec::new(),
        };
        Outcome { read, routes }
    }

    fn read(
        &self,
        document: &Document,
        index: usize,
    ) -> std::result::Result<DryRun, NotUnderstood> {
        check_cloud_event(self.schema, document.bytes(index))?;
        let submission = Submission::new(document.event(index)).input(self.input);
        dry_run(self.config, &submission).map_err(NotUnderstood::from)
    }

    fn routes(&self, event: &ParsedEvent, routes: &[webhook_dispatch::TargetRoute]) -> Vec<Route> {
        let asked = |target: &&Target| self.target.is_none_or(|only| only.name() == target.name());
        let targets = self.config.targets().iter().filter(asked);
        let routes = targets.filter_map(|target| {
            let name = target.name().as_str();
            let route = routes.iter().find(|route| route.target == name)?;
            let request = match &route.excluded {
                Some(why) => Err(why.clone()),
                None => test_request(target, event).map_err(|error| crate::console::chain(&error)),
            };
            Some(Route {
                target: target.clone(),
                request,
                matches: route.excluded.is_none(),
            })
        });
        routes.collect()
    }
}

fn sent(request: &TestRequest) -> Sent<'_> {
    Sent {
        headers: &request.headers,
        body: &request.body,
        masked_body: &request.masked_body,
    }
}

impl Outcome {
    fn is_ok(&self) -> bool {
        let mut routes = self.routes.iter();
        self.read.is_ok() && !routes.any(|route| route.matches && route.request.is_err())
    }
}

impl<'a> JsonFields<'a> {
    fn of(event: &'a ParsedEvent) -> JsonFields<'a> {
        let attributes = &event.attributes;
        JsonFields {
            key: &event.key,
            state: attributes.state.as_deref(),
            old_state: attributes.old_state.as_deref(),
            job: &attributes.job,
            id: event.id.as_deref(),
            time: attributes.time.and_then(rfc3339),
        }
    }
}
