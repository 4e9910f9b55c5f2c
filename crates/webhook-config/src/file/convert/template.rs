//! Converts templates: of the body, and of a CloudEvent's attributes.

use super::context::{Context, opening};
use super::inputs;
use crate::delivery::Format;
use crate::diagnostic::Code;
use crate::file::mirror::{SecretFile, SecretFrom};
use crate::file::read::{Reader, Spanned};
use crate::json::{Kind, Value};
use crate::secret::looks_random;
use webhook_event::{CloudEventTemplate, InvalidSchema, SecretOrigin, Template};

/// The template of the body, and its secrets.
pub(super) fn template(
    tree: &Value,
    format: Format,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<Template> {
    if format != Format::Template {
        let message = format!("`template` is given, and `format` is {:?}", format.name());
        let help = "set `format` to \"template\", or remove `template`";
        reader.error(Code::ConflictingKeys, &opening(&tree.span), message, help);
    }
    let mut template = Template::from_json(&tree.to_json())
        .map_err(|error| report(&error, tree, reader))
        .ok()?;
    let mut texts = Vec::new();
    let mut is_whole = true;
    for reference in template.secrets() {
        let place = reference.place.iter().map(String::as_str);
        let object = tree.find(place);
        let spanned = |name: &str, value: &str| Spanned {
            value: value.to_owned(),
            span: object.find([name]).span.clone(),
        };
        let from = match &reference.origin {
            SecretOrigin::Env(name) => SecretFrom::Env(spanned("$env", name)),
            SecretOrigin::File(path) => SecretFrom::File(spanned("$file", path)),
            _ => continue,
        };
        let (SecretFrom::Env(name) | SecretFrom::File(name)) = &from else {
            continue;
        };
        reader.show_at(&name.span);
        let span = object.span.clone();
        match context
            .surroundings
            .secret(&SecretFile { span, from }, reader)
        {
            Some(resolved) => texts.push(resolved.text),
            None => is_whole = false,
        }
    }
    template.set_secrets(texts);
    is_whole.then_some(template)
}

/// The templates of a CloudEvent's attributes.
pub(super) fn cloud_events(
    tree: &Value,
    format: Format,
    reader: &mut Reader,
) -> Option<CloudEventTemplate> {
    if !matches!(
        format,
        Format::CloudEventsBinary | Format::CloudEventsStructured | Format::CloudEventsBatch
    ) {
        let message = format!(
            "`cloudEvents` has no effect: `format` is {:?}",
            format.name()
        );
        let help = "set `format` to \"cloudevents-structured\", or remove `cloudEvents`";
        reader.warning(Code::Ineffective, &opening(&tree.span), message, help);
    }
    CloudEventTemplate::from_json(&tree.to_json())
        .map_err(|error| report(&error, tree, reader))
        .ok()
}

/// Reports what is wrong with a template, and shows the text there.
fn report(error: &InvalidSchema, tree: &Value, reader: &mut Reader) {
    let node = tree.find(error.place());
    if matches!(&node.kind, Kind::String(text) if !looks_random(text)) {
        reader.show(node);
    }
    inputs::report(Code::InvalidTemplate, error, tree, reader);
}
