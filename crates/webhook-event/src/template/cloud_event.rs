//! Templates of a CloudEvent's `source` and `type`.

use crate::error::InvalidSchema;
use crate::pointer_set::PointerSet;
use crate::settings::{self, Members};
use crate::template::percent::percent_encode;
use crate::template::render::RenderError;
use crate::template::text::{Piece, Text};
use crate::template::values::{Field, Source, TemplateFields, Values};
use serde_json::Value;

/// Templates of the attributes `source` and `type` of a CloudEvent:
/// `{"source": "/slurm/{/partition}", "type": "com.example.{state}"}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CloudEventTemplate {
    source: Option<Text>,
    kind: Option<Text>,
    pointers: PointerSet,
    written: Value,
}

impl CloudEventTemplate {
    /// Reads the templates. Either may be absent.
    ///
    /// # Errors
    /// A member is unknown, a pointer or a field is wrong, or `source` cannot be a URI reference.
    pub fn from_json(value: &Value) -> Result<CloudEventTemplate, InvalidSchema> {
        let mut members = Members::of(value, "an object")?;
        let mut template = CloudEventTemplate {
            written: value.clone(),
            ..CloudEventTemplate::default()
        };
        let pointers = &mut template.pointers;
        template.source = members.optional("source", |value| {
            let text = Text::parse(&settings::text(value)?, pointers)?;
            check_reference(&text)?;
            Ok(text)
        })?;
        template.kind = members.optional("type", |value| {
            let text = Text::parse(&settings::text(value)?, pointers)?;
            if text.0.is_empty() {
                return Err(InvalidSchema::new("an empty type"));
            }
            let is_control = |piece: &Piece| matches!(piece, Piece::Literal(it) if it.contains(char::is_control));
            if text.0.iter().any(is_control) {
                return Err(InvalidSchema::new("a control character in a type")
                    .help("CloudEvents allows none in its attributes: remove it"));
            }
            Ok(text)
        })?;
        members.end()?;
        Ok(template)
    }

    /// Whether there is no template.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.source.is_none() && self.kind.is_none()
    }

    /// The templates as they were read.
    #[must_use]
    pub fn written(&self) -> &Value {
        &self.written
    }

    /// Makes `source`, in which values are percent-encoded, and `type`, in which control characters
    /// are replaced. `None` for one without a template, and for one without a character.
    ///
    /// # Errors
    /// The event is not JSON.
    pub fn render(
        &self,
        event: &[u8],
        fields: &TemplateFields<'_>,
    ) -> Result<(Option<String>, Option<String>), RenderError> {
        let values = Values {
            found: self.pointers.read(event)?,
            fields,
        };
        let source = self.source.as_ref().map(|text| {
            fill(text, &values, |source, value, out| {
                if source != Source::Field(Field::Job) {
                    return percent_encode(value, |_| false, out);
                }
                // A job's path stays one, whatever its parts are.
                for (index, part) in fields.attributes.job.iter().enumerate() {
                    if index > 0 {
                        out.push('/');
                    }
                    percent_encode(part, |_| false, out);
                }
            })
        });
        let kind = self.kind.as_ref().map(|text| {
            fill(text, &values, |_, value, out| {
                out.extend(
                    value
                        .chars()
                        .map(|c| if c.is_control() { '\u{fffd}' } else { c }),
                );
            })
        });
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok((given(source), given(kind)))
    }
}

fn fill(
    text: &Text,
    values: &Values<'_>,
    mut encode: impl FnMut(Source, &str, &mut String),
) -> String {
    let mut out = String::new();
    for piece in &text.0 {
        match piece {
            Piece::Literal(text) => out.push_str(text),
            Piece::Value(source) => {
                if let Some(found) = values.get(*source) {
                    encode(*source, &found.text(), &mut out);
                }
            }
        }
    }
    out
}

/// Checks that text is a URI reference (RFC 3986, section 4.1), whatever the values are.
fn check_reference(text: &Text) -> Result<(), InvalidSchema> {
    let bad = |message: String| {
        Err(InvalidSchema::new(message)
            .help("a path such as `/slurm/{/partition}`, or a URI such as `https://example.com/`"))
    };
    // Values are percent-encoded, so each stands for unreserved characters.
    let sample: String = text
        .0
        .iter()
        .map(|piece| match piece {
            Piece::Literal(text) => text.as_str(),
            Piece::Value(_) => "x",
        })
        .collect();
    if sample.is_empty() {
        return bad("an empty source".to_owned());
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
    if let Some(c) = sample.chars().find(|c| !is_allowed(*c)) {
        return bad(format!("{c:?} is not allowed in a URI reference"));
    }
    let is_hex = |part: &str| {
        let digits = part.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !sample.split('%').skip(1).all(is_hex) {
        return bad("a `%` without two hex digits".to_owned());
    }
    let (before, fragment) = sample.split_once('#').unwrap_or((&sample, ""));
    if fragment.contains(['#', '[', ']']) {
        return bad("`#`, `[` or `]` in the fragment".to_owned());
    }
    let (hierarchy, query) = before.split_once('?').unwrap_or((before, ""));
    let first = hierarchy.split('/').next().unwrap_or_default();
    let rest = match first.split_once(':') {
        None => hierarchy,
        Some((scheme, _)) => {
            let literal = match text.0.first() {
                Some(Piece::Literal(text)) => text.starts_with(&format!("{scheme}:")),
                _ => false,
            };
            let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
            if !literal || !is_scheme {
                return bad("a `:` in the first part of a path".to_owned());
            }
            &hierarchy[scheme.len() + 1..]
        }
    };
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
    };
    if path.contains(['[', ']']) || query.contains(['[', ']']) {
        return bad("`[` or `]` outside of a host".to_owned());
    }
    Ok(())
}
