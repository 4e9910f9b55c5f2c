//! Reads templates.

use crate::error::InvalidSchema;
use crate::pointer_set::PointerSet;
use crate::settings::{self, Members, kind};
use crate::template::node::{At, Choice, Joined, Node};
use crate::template::secret::{Secret, SecretOrigin, SecretReference};
use crate::template::text::Text;
use crate::template::values::Source;
use serde_json::{Map, Value};

type Result<T> = std::result::Result<T, InvalidSchema>;

/// The most levels of arrays and objects.
pub(super) const MAX_DEPTH: usize = 32;
/// The most values, arrays and objects.
pub(super) const MAX_NODES: usize = 4096;
/// The most different pointers.
pub(super) const MAX_POINTERS: usize = 256;

#[derive(Default)]
pub(super) struct Parser {
    pub(super) pointers: PointerSet,
    pub(super) secrets: Vec<Secret>,
    nodes: usize,
    /// The names and indices on the way to the current node.
    place: Vec<String>,
}

impl Parser {
    pub(super) fn node(&mut self, value: &Value) -> Result<Node> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(InvalidSchema::new(format!("more than {MAX_NODES} values")));
        }
        if self.place.len() > MAX_DEPTH {
            return Err(InvalidSchema::new(format!(
                "nested more than {MAX_DEPTH} deep"
            )));
        }
        match value {
            Value::String(text) => self.text(text).map(Node::Text),
            Value::Array(items) => self.items(items).map(Node::Array),
            Value::Object(members) if members.keys().any(|name| is_special(name)) => {
                self.special(value, members)
            }
            Value::Object(members) => {
                let node = members.iter().map(|(name, value)| {
                    let node = self.within(name, |parser| parser.node(value))?;
                    // `$$` is a `$` that is no member of the template's own.
                    let name = name.replacen("$$", "$", usize::from(name.starts_with("$$")));
                    Ok((name, node))
                });
                node.collect::<Result<_>>().map(Node::Object)
            }
            scalar => Ok(Node::Scalar(scalar.to_string())),
        }
    }

    fn items(&mut self, items: &[Value]) -> Result<Vec<Node>> {
        let nodes = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.within(&index.to_string(), |parser| parser.node(item)));
        nodes.collect()
    }

    /// Reads what is at a step from here.
    fn within<T>(&mut self, step: &str, read: impl FnOnce(&mut Parser) -> Result<T>) -> Result<T> {
        self.place.push(step.to_owned());
        let read = read(self).map_err(|error| error.within(step));
        self.place.pop();
        read
    }

    fn text(&mut self, text: &str) -> Result<Text> {
        let text = Text::parse(text, &mut self.pointers)?;
        self.check_pointers()?;
        Ok(text)
    }

    fn check_pointers(&self) -> Result<()> {
        if self.pointers.pointers().len() > MAX_POINTERS {
            return Err(InvalidSchema::new(format!(
                "more than {MAX_POINTERS} pointers"
            )));
        }
        Ok(())
    }

    /// Reads an object that stands for a value.
    fn special(&mut self, value: &Value, object: &Map<String, Value>) -> Result<Node> {
        if let Some(name) = object.keys().find(|name| !is_special(name)) {
            let special = object.keys().find(|name| is_special(name));
            let special = special.map_or("", String::as_str);
            return Err(InvalidSchema::new(format!("`{name}` beside `{special}`"))
                .help(format!(
                    "an object with `{special}` stands for one value; write `${special}` for a \
                     member of this name"
                ))
                .within(name));
        }
        let mut members = Members::of(value, "an object")?;
        let node = if object.contains_key("$text") {
            self.joined(&mut members)?
        } else if object.contains_key("$env") {
            let name = members.required("$env", settings::text)?;
            self.secret(SecretOrigin::Env(name))
        } else if object.contains_key("$file") {
            let path = members.required("$file", settings::text)?;
            self.secret(SecretOrigin::File(path))
        } else if object.contains_key("$at") {
            let source = members.required("$at", |value| {
                let source = Source::parse(text_of(value)?, &mut self.pointers)?;
                self.check_pointers()?;
                Ok(source)
            })?;
            let choice = self.choice(&mut members)?;
            Node::At(Box::new(At { source, choice }))
        } else {
            let name = object.keys().next().map_or("", String::as_str);
            return Err(InvalidSchema::new(format!("unknown member `{name}`"))
                .help(format!(
                    "a value is `$at`, `$text`, `$env` or `$file`; write `${name}` for a member \
                     of this name"
                ))
                .within(name));
        };
        members.end()?;
        Ok(node)
    }

    fn secret(&mut self, origin: SecretOrigin) -> Node {
        let place = self.place.clone();
        let reference = SecretReference { origin, place };
        self.secrets.push(Secret {
            reference,
            text: None,
        });
        Node::Secret(self.secrets.len() - 1)
    }

    fn joined(&mut self, members: &mut Members<'_>) -> Result<Node> {
        let parts = members.required("$text", |value| self.parts(value))?;
        let truncate = members.optional("$truncate", |value| {
            let most = value.as_u64().filter(|most| *most > 0);
            let most = most.and_then(|most| usize::try_from(most).ok());
            most.ok_or_else(|| {
                InvalidSchema::new("not a number of characters").help("a whole number from 1")
            })
        })?;
        let escape = members.optional("$escape", |value| match text_of(value)? {
            "html" => Ok(()),
            other => Err(InvalidSchema::new(format!("there is no escape `{other}`"))
                .help("`html`: `&`, `<` and `>` of values become entities")),
        })?;
        Ok(Node::Joined(Box::new(Joined {
            parts,
            truncate,
            escape: escape.is_some(),
            choice: self.choice(members)?,
        })))
    }

    /// Reads text, or a list of text and values to be joined.
    fn parts(&mut self, value: &Value) -> Result<Vec<Node>> {
        let is_part = |value: &Value| match value {
            Value::String(_) => true,
            Value::Object(members) => members.keys().any(|name| is_special(name)),
            _ => false,
        };
        let parts = match value {
            Value::Array(parts) => parts.as_slice(),
            one => std::slice::from_ref(one),
        };
        let bad = parts.iter().position(|part| !is_part(part));
        if let Some(index) = bad {
            let error = InvalidSchema::new(format!(
                "expected text, or an object with `$at` or `$text`, found {}",
                kind(&parts[index])
            ));
            return Err(match value {
                Value::Array(_) => error.within(&index.to_string()),
                _ => error,
            });
        }
        self.place.push("$text".to_owned());
        let nodes = match value {
            Value::Array(parts) => self.items(parts),
            one => self.node(one).map(|node| vec![node]),
        };
        self.place.pop();
        nodes
    }

    fn choice(&mut self, members: &mut Members<'_>) -> Result<Choice> {
        let map = members.optional("$map", |value| {
            let Value::Object(map) = value else {
                let found = kind(value);
                return Err(InvalidSchema::new(format!(
                    "expected an object from texts to values, found {found}"
                )));
            };
            self.place.push("$map".to_owned());
            let nodes = map.iter().map(|(text, value)| {
                let node = self.within(text, |parser| parser.node(value))?;
                Ok((text.clone(), node))
            });
            let nodes = nodes.collect();
            self.place.pop();
            nodes
        })?;
        let default = members.optional("$default", |value| {
            self.place.push("$default".to_owned());
            let node = self.node(value);
            self.place.pop();
            node
        })?;
        Ok(Choice { map, default })
    }
}

fn text_of(value: &Value) -> Result<&str> {
    value
        .as_str()
        .ok_or_else(|| InvalidSchema::new(format!("expected a string, found {}", kind(value))))
}

/// Whether a member's name makes its object stand for a value.
fn is_special(name: &str) -> bool {
    name.starts_with('$') && !name.starts_with("$$")
}
