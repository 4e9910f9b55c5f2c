//! Streams of schedulers: pages and watches of the Kubernetes API.

#[expect(
    dead_code,
    reason = "a private module of webhookd, of which a part is used here"
)]
#[path = "../../../../crates/webhookd/src/sources/stream/frames.rs"]
mod frames;

use self::frames::{Deletions, Frame, Item, Page, Status, added};
use crate::seeds::Files;
use serde_json::Value;

/// Objects that are remembered, at most.
const MOST: usize = 16;

/// The first line is a page of a list, each other one a frame of a watch, and the last one a newer list.
///
/// Each object of a list becomes a JSON document with the object in it; what is missing in the newer list
/// is reported once, as JSON with its uid; no more objects are remembered than may be.
pub(crate) fn run(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let (mut known, mut documents) = (Deletions::of_list(MOST), Vec::new());
    list(lines.next().unwrap_or_default(), &mut known, &mut documents);
    let mut last = Deletions::unknown();
    assert!(
        known.missing_in(&last).is_empty(),
        "nothing is known before a list"
    );
    for line in lines {
        if let Ok(frame) = serde_json::from_slice::<Frame<'_>>(line) {
            let item = Item::read(frame.object.get());
            let _version = item.resource_version();
            if frame.kind == "ERROR" {
                assert!(!Status::read(frame.object.get()).to_string().is_empty());
            }
            known.follow(&frame.kind, &item);
            continue;
        }
        last = Deletions::of_list(MOST);
        list(line, &mut last, &mut documents);
    }
    let gone = known.missing_in(&last);
    assert!(gone.len() <= MOST);
    for document in gone {
        let value: Value = serde_json::from_str(&document).expect("it is JSON");
        assert_eq!(value["type"], "DELETED");
        assert!(value["object"]["metadata"]["uid"].is_string());
    }
}

fn list(line: &[u8], known: &mut Deletions, documents: &mut Vec<String>) {
    let Ok(page) = serde_json::from_slice::<Page<'_>>(line) else {
        return;
    };
    for object in &page.items {
        known.note(&page, &Item::read(object.get()));
        let document = added(&page, object.get());
        let parsed = serde_json::from_str::<Frame<'_>>(&document);
        let frame = parsed.unwrap_or_else(|error| panic!("{error}: {document}"));
        assert_eq!(frame.kind, "ADDED");
        let whole = object.get().strip_prefix('{').unwrap_or(object.get());
        assert!(frame.object.get().ends_with(whole), "{document}");
        documents.push(document);
    }
}

pub(crate) fn seeds(files: &mut Files) {
    let frames = std::fs::read(testkit::fixture("schedulers/kubernetes.ndjson"));
    let frames = frames.expect("the file is committed");
    let list = |items: &str| {
        format!(
            r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"10","continue":""}},"items":{items}}}"#
        )
    };
    let items = r#"[{"metadata":{"uid":"a","resourceVersion":"7","labels":{"l":"x"}}},{"kind":"Pod","metadata":{"uid":"b","ownerReferences":[]}}]"#;
    for frame in frames
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let seed = [list(items).as_bytes(), frame, list("null").as_bytes()].join(&b'\n');
        files.add(seed);
    }
    files.add(format!(
        "{}\n{}\n{}",
        list("[{},7]"),
        r#"{"type":"ERROR","object":{"code":410,"reason":"Expired","message":"old"}}"#,
        list(items)
    ));
}
