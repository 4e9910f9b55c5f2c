//! Templates of bodies: a JSON document in which values of an event are filled in.
//!
//! A template is JSON. Two things in it are replaced: in every string, what is in braces; and every
//! object with a member whose name begins with `$`, which stands for a value. So the body is valid
//! JSON whatever the event holds.

mod cloud_event;
mod node;
mod parse;
mod percent;
mod render;
mod secret;
#[cfg(test)]
mod tests;
mod text;
mod values;

pub use cloud_event::CloudEventTemplate;
pub use percent::percent_encode;
pub use render::RenderError;
pub use secret::{SecretOrigin, SecretReference};
pub use values::TemplateFields;

use crate::error::InvalidSchema;
use crate::pointer_set::PointerSet;
use node::Node;
use parse::Parser;
use secret::Secret;
use serde_json::Value;
use std::fmt;
use values::Values;

/// A template of a body.
///
/// ```
/// use webhook_event::{Attributes, Template, TemplateFields};
///
/// let template = Template::from_json(&serde_json::json!({
///     "text": "job {/jobid} is {state}",
///     "color": { "$at": "state", "$map": { "FAILED": "#d00" }, "$default": "#888" },
///     "exit": { "$at": "/exit_code" },
/// }))?;
/// let mut attributes = Attributes::default();
/// attributes.state = Some("FAILED".to_owned());
/// let fields = TemplateFields { key: "17", id: "evt_1", attributes: &attributes };
/// let body = template.render(br#"{"jobid":17,"exit_code":[1,0]}"#, &fields, 1024)?;
/// assert_eq!(body, br##"{"color":"#d00","exit":[1,0],"text":"job 17 is FAILED"}"##);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Template {
    root: Node,
    pointers: PointerSet,
    secrets: Vec<Secret>,
    source: Value,
}

impl Template {
    /// The most levels of arrays and objects.
    pub const MAX_DEPTH: usize = parse::MAX_DEPTH;
    /// The most values, arrays and objects.
    pub const MAX_NODES: usize = parse::MAX_NODES;
    /// The most different pointers.
    pub const MAX_POINTERS: usize = parse::MAX_POINTERS;

    /// Reads a template.
    ///
    /// # Errors
    /// A pointer, a name in braces or a member that begins with `$` is wrong, or the template is
    /// too deep or too large. The error has the place.
    pub fn from_json(value: &Value) -> Result<Template, InvalidSchema> {
        let mut parser = Parser::default();
        let root = parser.node(value)?;
        Ok(Template {
            root,
            pointers: parser.pointers,
            secrets: parser.secrets,
            source: value.clone(),
        })
    }

    /// The template as it was read, without its secrets.
    #[must_use]
    pub fn source(&self) -> &Value {
        &self.source
    }

    /// The secrets that it needs, in the order in which [`Template::set_secrets`] takes them.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretReference> {
        self.secrets.iter().map(|secret| &secret.reference)
    }

    /// Sets the secrets. Rendering fails without them.
    pub fn set_secrets(&mut self, texts: impl IntoIterator<Item = String>) {
        for (secret, text) in self.secrets.iter_mut().zip(texts) {
            secret.text = Some(text);
        }
    }

    /// The secrets that were set, to mask them in other texts.
    pub fn secret_texts(&self) -> impl Iterator<Item = &str> {
        self.secrets
            .iter()
            .filter_map(|secret| secret.text.as_deref())
    }

    /// Makes the body for an event. The skeleton is written without blanks, its members in the
    /// order of their names; values of the event are copied as they stand.
    ///
    /// # Errors
    /// The event is not JSON, or the body would be longer than `max` bytes.
    pub fn render(
        &self,
        event: &[u8],
        fields: &TemplateFields<'_>,
        max: usize,
    ) -> Result<Vec<u8>, RenderError> {
        self.rendered(event, fields, max, false)
    }

    /// Makes the body for an event with `***` in place of secrets.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn render_masked(
        &self,
        event: &[u8],
        fields: &TemplateFields<'_>,
        max: usize,
    ) -> Result<Vec<u8>, RenderError> {
        self.rendered(event, fields, max, true)
    }

    fn rendered(
        &self,
        event: &[u8],
        fields: &TemplateFields<'_>,
        max: usize,
        masked: bool,
    ) -> Result<Vec<u8>, RenderError> {
        let values = Values {
            found: self.pointers.read(event)?,
            fields,
        };
        render::render(&self.root, values, &self.secrets, masked, max)
    }
}

impl fmt::Debug for Template {
    /// Shows no text: it may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").finish_non_exhaustive()
    }
}
