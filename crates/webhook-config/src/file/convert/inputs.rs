//! Converts inputs, and what targets say of them.

use super::context::opening;
use crate::diagnostic::Code;
use crate::file::input::{ConditionJson, InputFile, InputsFile};
use crate::file::object::{shorten, unknown_key};
use crate::file::read::{Reader, Slot, Spanned, Text};
use crate::file::suggest::nearest;
use crate::input::{InputFilter, InputName, Inputs, InvalidInputName};
use crate::json::{Key, Kind, Span, Value};
use crate::limits;
use crate::name::TargetName;
use serde_json::json;
use webhook_event::{Condition, InvalidSchema, Schema};

/// The inputs of the file, and where they are.
#[derive(Debug)]
pub(super) struct FileInputs {
    /// The default input first. Those that cannot be used have no schema.
    inputs: Vec<FileInput>,
    is_whole: bool,
    /// Whether a target names an input that there is not.
    is_misnamed: bool,
    /// The name of the target that gets the notices.
    notices: Option<String>,
}

#[derive(Debug)]
struct FileInput {
    /// Empty for the default input.
    name: String,
    /// `None` for the default input if it is not given.
    span: Option<Span>,
    schema: Option<Schema>,
    is_taken: bool,
}

pub(super) fn convert_inputs(
    events: Slot<InputFile>,
    named: Slot<InputsFile>,
    reader: &mut Reader,
) -> FileInputs {
    let default = match events {
        Slot::Given(file) => input("", opening(&file.span), &file, reader),
        Slot::Bad => FileInput::bad(""),
        Slot::Absent | Slot::Null(_) => FileInput {
            span: None,
            schema: Some(Schema::default()),
            ..FileInput::bad("")
        },
    };
    let is_bad = matches!(named, Slot::Bad);
    let mut inputs = vec![default];
    if let Slot::Given(InputsFile {
        span,
        inputs: named,
    }) = named
    {
        if !limits::INPUTS.contains(named.len() as u64) {
            let message = format!("{} inputs are too many", named.len());
            let help = format!("at most {}", limits::INPUTS.most);
            reader.error(Code::OutOfRange, &opening(&span), message, help);
        }
        for (key, file) in named {
            check_name(&key, reader);
            inputs.push(input(&key.text, key.span, &file, reader));
        }
    }
    FileInputs {
        is_misnamed: false,
        notices: None,
        is_whole: !is_bad && inputs.iter().all(|input| input.schema.is_some()),
        inputs,
    }
}

impl FileInput {
    fn bad(name: &str) -> FileInput {
        FileInput {
            name: name.to_owned(),
            span: None,
            schema: None,
            is_taken: false,
        }
    }
}

fn check_name(key: &Key, reader: &mut Reader) {
    let help = match InputName::new(key.text.as_str()) {
        Ok(_) => return,
        Err(InvalidInputName::Default) => "write it as `events`, beside `inputs`".to_owned(),
        Err(InvalidInputName::Notices) => {
            "webhookd's own events have this name; choose another one".to_owned()
        }
        Err(error) => error.to_string(),
    };
    let message = format!("`{}` is not a name for an input", shorten(&key.text));
    reader.error(Code::InvalidName, &key.span, message, help);
}

fn input(name: &str, span: Span, file: &InputFile, reader: &mut Reader) -> FileInput {
    let schema = schema(file, reader);
    FileInput {
        span: Some(span),
        schema,
        ..FileInput::bad(name)
    }
}

/// The schema of webhookd's own events: CloudEvents, whose key is the target that they are about.
fn notices() -> Schema {
    let settings = json!({ "schema": "cloudevents", "state": "/data/notice", "job": null });
    Schema::from_json(&settings).expect("these settings are valid")
}

/// Reads the settings of an input. Each that cannot be used is reported, and left out to find the
/// next.
fn schema(file: &InputFile, reader: &mut Reader) -> Option<Schema> {
    let tree = file.tree();
    let mut settings = tree.to_json();
    let mut is_whole = true;
    loop {
        let error = match Schema::from_json(&settings) {
            Ok(schema) => {
                warn_of_no_state(&schema, &tree, reader);
                return is_whole.then_some(schema);
            }
            Err(error) => error,
        };
        report(Code::InvalidSetting, &error, &tree, reader);
        is_whole = false;
        let others = settings.as_object_mut()?;
        match error.place().next() {
            Some(setting) if setting != "key" => others.remove(setting)?,
            // There must be a key, and this one is valid.
            _ if others.get("key") == Some(&"".into()) => return None,
            _ => others
                .insert("key".to_owned(), "".into())
                .unwrap_or_default(),
        };
    }
}

fn warn_of_no_state(schema: &Schema, tree: &Value, reader: &mut Reader) {
    let switch = tree.find(["onlyChanges"]);
    if switch.kind == Kind::Bool(true) && schema.settings()["state"].is_null() {
        let message = "`onlyChanges` has no effect: events have no state";
        let help = "set `state`, or remove `onlyChanges`";
        reader.warning(Code::Ineffective, &switch.span, message, help);
    }
}

impl FileInputs {
    /// Adds the input of notices, which the target of this name takes.
    pub(super) fn add_notices(&mut self, target: String) {
        self.inputs.push(FileInput {
            schema: Some(notices()),
            ..FileInput::bad(InputName::NOTICES)
        });
        self.notices = Some(target);
    }

    /// The inputs that the target of this name takes.
    pub(super) fn filter(
        &mut self,
        target: Option<&TargetName>,
        list: Option<&Spanned<Vec<Text>>>,
        reader: &mut Reader,
    ) -> InputFilter {
        let gets_notices =
            target.is_some_and(|target| self.notices.as_deref() == Some(target.as_str()));
        let Some(list) = list else {
            self.inputs
                .iter_mut()
                .for_each(|input| input.is_taken = true);
            return match gets_notices {
                true => InputFilter::only(self.inputs.iter().map(|input| &input.name)),
                false => InputFilter::All,
            };
        };
        if list.value.is_empty() && !gets_notices {
            let message = "an empty list of inputs: nothing is ever sent";
            let help = "remove `inputs` to take all";
            reader.warning(Code::NoInputs, &list.span, message, help);
        }
        let listed = list.value.iter().map(|Text(name)| name.value.as_str());
        let notices = gets_notices.then_some(InputName::NOTICES);
        let filter = InputFilter::only(listed.chain(notices));
        for Text(name) in &list.value {
            self.is_misnamed |= !self.check_known(name, reader);
        }
        for input in &mut self.inputs {
            input.is_taken |= filter.accepts(&input.name);
        }
        filter
    }

    /// Whether an input has this name. If not, that is reported.
    pub(super) fn check_known(&self, name: &Spanned<String>, reader: &mut Reader) -> bool {
        let known = || self.inputs.iter().map(FileInput::listed);
        if known().any(|known| known == name.value) {
            return true;
        }
        let message = format!("unknown input `{}`", shorten(&name.value));
        let help = match nearest(&name.value, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let known: Vec<_> = known().map(|name| format!("`{name}`")).collect();
                format!("add it to `inputs`; there are {}", known.join(", "))
            }
        };
        reader.error(Code::UnknownInput, &name.span, message, help);
        false
    }

    /// Whether a source may read this input. If not, that is reported.
    pub(super) fn check_open(&self, name: &Spanned<String>, reader: &mut Reader) {
        if self.check_known(name, reader) && name.value == InputName::NOTICES {
            let message = "`notices` is the input of webhookd's own events";
            let help = "name another input";
            reader.error(Code::InvalidName, &name.span, message, help);
        }
    }

    /// Whether a target with this filter gets no events but Aurora's, as Aurora writes them.
    pub(super) fn are_aurora(&self, filter: &InputFilter) -> bool {
        let mut taken = self.inputs.iter().filter(|it| filter.accepts(&it.name));
        let is_aurora = |schema: &Schema| schema.has_aurora_fields();
        taken.all(|input| input.schema.as_ref().is_some_and(is_aurora))
    }

    /// Warns of filters of a target that no event of its inputs passes, since its schemas have no
    /// such field. Each is given with its key, the schema's key and the place.
    pub(super) fn warn_of_filters(
        &self,
        filter: &InputFilter,
        filters: [(&str, &str, Option<Span>); 3],
        reader: &mut Reader,
    ) {
        let taken = self.inputs.iter().filter(|it| filter.accepts(&it.name));
        let Some(schemas) = taken
            .map(|it| it.schema.as_ref())
            .collect::<Option<Vec<_>>>()
        else {
            return;
        };
        for (key, field, span) in filters {
            let lacks = |schema: &&Schema| {
                let is_supplied = field == "oldState" && schema.only_changes();
                schema.settings()[field].is_null() && !is_supplied
            };
            if let Some(span) = span
                && !schemas.is_empty()
                && schemas.iter().all(lacks)
            {
                let message =
                    format!("no event of these inputs has `{field}`: nothing is ever sent");
                let help = format!("remove `{key}`, or set `{field}` of the input");
                reader.warning(Code::NeverMatches, &span, message, help);
            }
        }
    }

    /// The inputs; `None` if one cannot be used. Warns of those that no target takes.
    pub(super) fn finish(self, reader: &mut Reader) -> Option<Inputs> {
        for input in &self.inputs {
            if let (Some(span), false) = (&input.span, input.is_taken || self.is_misnamed) {
                let message = format!("no target takes the input `{}`", shorten(input.listed()));
                let help = "add it to the `inputs` of a target";
                reader.warning(Code::Ineffective, span, message, help);
            }
        }
        if !self.is_whole {
            return None;
        }
        let mut inputs = Inputs::default();
        for FileInput { name, schema, .. } in self.inputs {
            match name.as_str() {
                "" => inputs.default = schema?,
                InputName::NOTICES => inputs.notices = schema,
                _ => inputs.named.push((InputName::new(name).ok()?, schema?)),
            }
        }
        Some(inputs)
    }
}

impl FileInput {
    /// Its name in the list of a target.
    fn listed(&self) -> &str {
        match self.name.as_str() {
            "" => InputName::DEFAULT,
            name => name,
        }
    }
}

pub(super) fn conditions(
    list: &Spanned<Vec<ConditionJson>>,
    reader: &mut Reader,
) -> Vec<Condition> {
    let read = list.value.iter().filter_map(|ConditionJson(tree)| {
        Condition::from_json(&tree.to_json())
            .map_err(|error| report(Code::InvalidSetting, &error, tree, reader))
            .ok()
    });
    read.collect()
}

/// Reports what is wrong with settings that webhook-event checks, at the place in the file.
pub(super) fn report(code: Code, error: &InvalidSchema, tree: &Value, reader: &mut Reader) {
    let place: Vec<&str> = error.place().collect();
    let allowed: Vec<&str> = error.allowed().iter().map(String::as_str).collect();
    if error.is_unknown_key()
        && let Some((last, outer)) = place.split_last()
        && let Kind::Object(members) = &tree.find(outer.iter().copied()).kind
        && let Some(member) = members.iter().rfind(|member| member.key.text == *last)
    {
        unknown_key(&member.key, &allowed, reader);
        return;
    }
    let node = tree.find(place);
    let near = match &node.kind {
        Kind::String(word) => nearest(word, allowed.into_iter()),
        _ => None,
    };
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => error.how_to_mend().unwrap_or_default().to_owned(),
    };
    let span = match &node.kind {
        Kind::Object(_) | Kind::Array(_) => opening(&node.span),
        _ => node.span.clone(),
    };
    reader.error(code, &span, masked(&error.to_string()), help);
}

/// A message whose quotations are short, and masked where they look like secrets.
fn masked(message: &str) -> String {
    let parts = message.split('`').enumerate();
    let parts: Vec<_> = parts
        .map(|(index, part)| match index % 2 {
            1 => shorten(part),
            _ => part.to_owned(),
        })
        .collect();
    parts.join("`")
}
