//! The JSON of the Kubernetes API: pages of lists, frames of watches, and what of an object is
//! remembered to notice its deletion.

use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// A page of a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Page<'a> {
    /// `PodList` for pods.
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) metadata: PageMetadata<'a>,
    /// Null if there is none.
    #[serde(borrow, default, deserialize_with = "list")]
    pub(super) items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct PageMetadata<'a> {
    #[serde(borrow)]
    pub(super) resource_version: Cow<'a, str>,
    #[serde(borrow, default, rename = "continue")]
    pub(super) next: Option<Cow<'a, str>>,
}

fn list<'de: 'a, 'a, D: Deserializer<'de>>(reader: D) -> Result<Vec<&'a RawValue>, D::Error> {
    Ok(Option::<Vec<&'a RawValue>>::deserialize(reader)?.unwrap_or_default())
}

impl Page<'_> {
    /// The kind of the objects.
    fn kind_of_items(&self) -> &str {
        self.kind.strip_suffix("List").unwrap_or(&self.kind)
    }
}

/// A frame of a watch.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(super) struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// What is read of an object.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Item<'a> {
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    api_version: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    metadata: Metadata<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Metadata<'a> {
    #[serde(borrow, default)]
    uid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    resource_version: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    labels: Option<&'a RawValue>,
    #[serde(borrow, default)]
    owner_references: Option<&'a RawValue>,
}

impl<'a> Item<'a> {
    /// Reads an object. One that is not understood has no fields.
    pub(super) fn read(object: &'a str) -> Item<'a> {
        serde_json::from_str(object).unwrap_or_default()
    }

    pub(super) fn resource_version(&self) -> Option<Cow<'a, str>> {
        self.metadata.resource_version.clone()
    }
}

/// The status that ends a watch.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) code: u16,
    reason: String,
    message: String,
}

impl Status {
    pub(super) fn read(object: &str) -> Status {
        serde_json::from_str(object).unwrap_or_default()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.reason, self.message)
    }
}

/// An object of a list as a frame of a watch. The objects of a list leave out their kind, which is in
/// the list.
pub(super) fn added(page: &Page<'_>, object: &str) -> String {
    let item = Item::read(object);
    let mut members = String::new();
    if item.kind.is_none() && !page.kind.is_empty() {
        let kind = json!(page.kind_of_items());
        let version = json!(page.api_version);
        let is_empty = object.trim_start_matches('{').trim_ascii() == "}";
        let comma = if is_empty { "" } else { "," };
        members = format!(r#""kind":{kind},"apiVersion":{version}{comma}"#);
    }
    match object.strip_prefix('{') {
        Some(rest) => format!(r#"{{"type":"ADDED","object":{{{members}{rest}}}"#),
        None => format!(r#"{{"type":"ADDED","object":{object}}}"#),
    }
}

/// The objects of the last list and of the watch after it, so that those that are missing in the next
/// list are noticed.
pub(super) struct Deletions {
    /// The document that reports an object's deletion, by its uid. `None` before the first list, and
    /// if there are too many.
    objects: Option<HashMap<String, Box<str>>>,
    most: usize,
}

impl Deletions {
    /// Before the first list.
    pub(super) fn unknown() -> Deletions {
        Deletions {
            objects: None,
            most: 0,
        }
    }

    /// At the beginning of a list; at most so many objects are remembered.
    pub(super) fn of_list(most: usize) -> Deletions {
        Deletions {
            objects: Some(HashMap::new()),
            most,
        }
    }

    /// Whether a deletion between a watch and a list is noticed.
    pub(super) fn are_known(&self) -> bool {
        self.objects.is_some()
    }

    /// Notes an object of a list.
    pub(super) fn note(&mut self, page: &Page<'_>, item: &Item<'_>) {
        let kind = item.kind.as_deref().unwrap_or(page.kind_of_items());
        let version = item.api_version.as_deref().unwrap_or(&page.api_version);
        self.insert(kind, version, item);
    }

    /// Notes a frame of a watch of this type.
    pub(super) fn follow(&mut self, frame: &str, item: &Item<'_>) {
        if frame == "DELETED" {
            if let (Some(objects), Some(uid)) = (&mut self.objects, &item.metadata.uid) {
                objects.remove(&**uid);
            }
        } else {
            let kind = item.kind.as_deref().unwrap_or_default();
            let version = item.api_version.as_deref().unwrap_or_default();
            self.insert(kind, version, item);
        }
    }

    fn insert(&mut self, kind: &str, api_version: &str, item: &Item<'_>) {
        let metadata = &item.metadata;
        let (Some(objects), Some(uid)) = (&mut self.objects, &metadata.uid) else {
            return;
        };
        let mut kept = json!({
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": uid,
            "resourceVersion": metadata.resource_version,
        });
        let raw = |text: &RawValue| serde_json::from_str(text.get()).unwrap_or_default();
        for (key, value) in [
            ("labels", metadata.labels),
            ("ownerReferences", metadata.owner_references),
        ] {
            if let Some(value) = value {
                kept[key] = raw(value);
            }
        }
        let object = json!({ "kind": kind, "apiVersion": api_version, "metadata": kept });
        let document = json!({ "type": "DELETED", "object": object }).to_string();
        objects.insert(uid.clone().into_owned(), document.into_boxed_str());
        if objects.len() > self.most {
            self.objects = None;
        }
    }

    /// What to deliver for each object that is not in a newer list. The object is as it was last seen,
    /// and has only what identifies it.
    pub(super) fn missing_in(&self, newer: &Deletions) -> Vec<Box<str>> {
        let (Some(before), Some(now)) = (&self.objects, &newer.objects) else {
            return Vec::new();
        };
        let gone = before.iter().filter(|(uid, _)| !now.contains_key(*uid));
        gone.map(|(_, document)| document.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"10"},
        "items":[{"metadata":{"uid":"a","resourceVersion":"7","labels":{"l":"x"}}},
                 {"kind":"Pod","apiVersion":"v1","metadata":{"uid":"b"}}]}"#;

    fn listed(text: &str, most: usize) -> (Deletions, Vec<String>) {
        let page: Page<'_> = serde_json::from_str(text).unwrap();
        let mut known = Deletions::of_list(most);
        let mut frames = Vec::new();
        for object in &page.items {
            known.note(&page, &Item::read(object.get()));
            frames.push(added(&page, object.get()));
        }
        (known, frames)
    }

    #[test]
    fn an_object_of_a_list_becomes_a_frame_with_its_kind() {
        let (_, frames) = listed(LIST, 10);
        assert_eq!(
            frames[0],
            r#"{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"uid":"a","resourceVersion":"7","labels":{"l":"x"}}}}"#
        );
        assert_eq!(
            frames[1],
            r#"{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"uid":"b"}}}"#
        );
    }

    #[test]
    fn an_object_without_members_becomes_a_frame_too() {
        for object in ["{}", "{ }"] {
            let list = LIST.replace(
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"uid":"b"}}"#,
                object,
            );
            let (_, frames) = listed(&list, 10);
            let frame: serde_json::Value = serde_json::from_str(&frames[1]).unwrap();
            assert_eq!(frame["object"], json!({"kind": "Pod", "apiVersion": "v1"}));
        }
    }

    #[test]
    fn an_object_that_a_newer_list_does_not_have_is_deleted() {
        let (mut known, _) = listed(LIST, 10);
        let empty = r#"{"metadata":{"resourceVersion":"20"},"items":null}"#;
        known.follow("DELETED", &Item::read(r#"{"metadata":{"uid":"b"}}"#));
        let (mut newer, _) = listed(empty, 10);
        let gone = known.missing_in(&newer);
        assert_eq!(gone.len(), 1);
        let gone: serde_json::Value = serde_json::from_str(&gone[0]).unwrap();
        assert_eq!(gone["type"], "DELETED");
        assert_eq!(gone["object"]["kind"], "Pod");
        assert_eq!(gone["object"]["metadata"]["resourceVersion"], "7");
        assert_eq!(gone["object"]["metadata"]["labels"]["l"], "x");
        newer.follow("ADDED", &Item::read(r#"{"metadata":{"uid":"a"}}"#));
        assert!(known.missing_in(&newer).is_empty());
    }

    #[test]
    fn too_many_objects_are_not_remembered() {
        let (known, _) = listed(LIST, 1);
        assert!(!known.are_known());
        let (newer, _) = listed(LIST, 10);
        assert!(known.missing_in(&newer).is_empty() && newer.are_known());
        assert!(!Deletions::unknown().are_known());
    }
}
