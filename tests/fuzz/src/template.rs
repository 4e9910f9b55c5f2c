//! Templates of bodies and of a CloudEvent's attributes.

use crate::seeds::Files;
use serde_json::Value;
use webhook_event::{Attributes, CloudEventTemplate, RenderError, Template, TemplateFields};

/// The longest body, bytes.
const LONGEST: usize = 10_000;

/// The first line is a template, the rest an event. A body is JSON and no longer than it may be; with
/// its secrets masked, it has none; the source of a CloudEvent has no blank, and its type no control
/// character.
pub(crate) fn run(input: &[u8]) {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (template, event) = (&input[..end], &input[end + 1..]);
    let Ok(value) = serde_json::from_slice::<Value>(template) else {
        return;
    };
    let mut attributes = Attributes::default();
    attributes.state = Some("FAI\"LED\n".to_owned());
    attributes.job = vec!["a/b".to_owned(), "\u{1b}c".to_owned()];
    let fields = TemplateFields {
        key: "k\u{e9}y \\",
        id: "evt_1",
        attributes: &attributes,
    };
    match Template::from_json(&value) {
        Ok(template) => body(template, event, &fields),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(template) = CloudEventTemplate::from_json(&value)
        && let Ok((source, kind)) = template.render(event, &fields)
    {
        let bad = |it: char| it.is_whitespace() || it.is_control();
        assert!(source.is_none_or(|source| !source.contains(bad)));
        assert!(kind.is_none_or(|kind| !kind.contains(char::is_control)));
    }
}

fn body(mut template: Template, event: &[u8], fields: &TemplateFields<'_>) {
    let secrets = template.secrets().count();
    template.set_secrets((0..secrets).map(|at| format!("s3cr3t\"{at}")));
    let body = match template.render(event, fields, LONGEST) {
        Ok(body) => body,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(!matches!(error, RenderError::NoSecret), "{error}");
            return;
        }
    };
    let text = String::from_utf8_lossy(&body);
    assert!(body.len() <= LONGEST);
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
    assert!(is_json, "{text}");
    // The event may hold the same text.
    if let Ok(masked) = template.render_masked(event, fields, LONGEST)
        && !event.windows(6).any(|it| it == b"s3cr3t")
        && !template.source().to_string().contains("s3cr3t")
    {
        assert!(
            !String::from_utf8_lossy(&masked).contains("s3cr3t"),
            "{text}"
        );
    }
    assert_eq!(template.render(event, fields, LONGEST).ok(), Some(body));
}

pub(crate) fn seeds(files: &mut Files) {
    let event = r#"{"jobid":17,"exit_code":[1,0],"a":{"b":"x\"y"},"state":"FAILED","t":null}"#;
    for name in ["discord", "ntfy", "opsgenie", "pagerduty", "slack", "teams"] {
        let path = testkit::repository(&format!("docs/templates/{name}.json"));
        let text = std::fs::read(path).expect("the template is committed");
        let target: Value = serde_json::from_slice(&text).expect("it is JSON");
        let template = target["targets"][0].get("template").unwrap_or(&target);
        files.add(format!("{template}\n{event}"));
    }
    for block in files.blocks("docs/templates.md", "json") {
        if let Ok(value) = serde_json::from_str::<Value>(&block) {
            let template = value.get("template").unwrap_or(&value);
            files.add(format!("{template}\n{event}"));
        }
    }
    files.add(format!(
        "{}\n{event}",
        r#"{"source":"/slurm/{/a/b}/{job}","type":"com.example.{state}"}"#
    ));
    files.add(format!(
        "{}\n{event}",
        r#"{"a":{"$at":"/exit_code"},"b":"{key}{{x}} {/jobid}"}"#
    ));
}
