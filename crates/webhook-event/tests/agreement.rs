//! What is read of any document agrees with serde_json.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use webhook_event::{Condition, Pointer, PointerSet, Schema};

/// Names that are often equal, though they may be written in several ways.
const NAMES: &[&str] = &[
    "a", "b", "0", "1", "10", "01", "", "a/b", "m~n", "größe", "a\"b", LONG,
];
const LONG: &str = "a name of more than sixty-three bytes, the length at which names share a bit";

/// A name; half of them are one of two, so that names occur twice and pointers find values.
fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![select(vec!["a", "0"]), select(NAMES.to_vec())]
}

/// A string in quotes, with or without escapes.
fn quoted(text: &'static str) -> impl Strategy<Value = String> {
    let plain = Just(Value::from(text).to_string());
    let escaped = Just({
        let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
        format!("\"{}\"", units.collect::<String>())
    });
    let slashes = Just(Value::from(text).to_string().replace('/', "\\/"));
    prop_oneof![3 => plain, 1 => escaped, 1 => slashes]
}

fn blank() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "", " ", "\n", "\r\n\t", "         "])
}

fn scalar() -> impl Strategy<Value = String> {
    let texts = [
        "",
        "x",
        "😀 \u{7f}",
        "a\\b\n\"c\"",
        "\"",
        "long enough for several words",
    ];
    let numbers = "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?";
    prop_oneof![
        select(vec![
            "null",
            "true",
            "false",
            "-0",
            "1E5",
            "9007199254740993"
        ])
        .prop_map(str::to_owned),
        numbers,
        select(texts.to_vec()).prop_flat_map(quoted),
    ]
}

/// The text of any JSON document: members occur twice, names have escapes, blanks are anywhere.
fn document() -> impl Strategy<Value = String> {
    let any = scalar().prop_recursive(5, 60, 6, |inner| {
        let item = (blank(), inner, blank())
            .prop_map(|(a, text, b)| format!("{a}{text}{b}"))
            .boxed();
        let name = name().prop_flat_map(quoted);
        let member = (blank(), name, blank(), item.clone())
            .prop_map(|(a, name, b, value)| format!("{a}{name}{b}:{value}"));
        prop_oneof![
            proptest::collection::vec(item, 0..12)
                .prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec(member, 0..6)
                .prop_map(|items| format!("{{{}}}", items.join(","))),
        ]
    });
    (blank(), any, blank()).prop_map(|(a, text, b)| format!("{a}{text}{b}"))
}

fn pointer() -> impl Strategy<Value = String> {
    let others = ["-", "+1", "00", "2", "99999999999999999999"];
    let token = prop_oneof![4 => name(), 1 => select(others.to_vec())];
    proptest::collection::vec(token, 0..5).prop_map(|tokens| {
        let escape = |token: &str| token.replace('~', "~0").replace('/', "~1");
        tokens
            .iter()
            .map(|token| format!("/{}", escape(token)))
            .collect()
    })
}

fn pointers() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(pointer(), 1..8)
}

/// A document with a few bytes changed, so that most are malformed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let change = (
        any::<prop::sample::Index>(),
        select(b"{}[]\",:\\0e- \xff\x00\xc3".to_vec()),
    );
    (document(), proptest::collection::vec(change, 0..4)).prop_map(|(text, changes)| {
        let mut bytes = text.into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

fn check_pointers(document: &[u8], pointers: &[String]) -> Result<(), TestCaseError> {
    let mut set = PointerSet::default();
    let slots: Vec<_> = pointers
        .iter()
        .map(|it| set.add(&it.parse().unwrap()))
        .collect();
    let value: Result<Value, _> = serde_json::from_slice(document);
    let found = match (set.read(document), &value) {
        (Ok(found), Ok(_)) => found,
        (Err(_), Err(_)) => return Ok(()),
        // It holds no number beyond the largest double.
        (Ok(_), Err(error)) if error.to_string().contains("out of range") => return Ok(()),
        (read, value) => {
            return Err(TestCaseError::fail(format!("{read:?} but {value:?}")));
        }
    };
    let value = value.unwrap();
    for (pointer, slot) in pointers.iter().zip(slots) {
        let expected = value.pointer(pointer);
        let found = found[slot];
        let read = found.and_then(|it| it.value());
        prop_assert_eq!(read.as_ref(), expected, "{}", pointer);
        let Some(found) = found else { continue };
        prop_assert_eq!(
            &document[found.at()..][..found.bytes().len()],
            found.bytes()
        );
        prop_assert_eq!(found.bytes().trim_ascii(), found.bytes());
        let text = found.text();
        match expected.unwrap() {
            Value::String(expected) => prop_assert_eq!(text.as_deref(), Some(&**expected)),
            Value::Bool(expected) => prop_assert_eq!(text, Some(expected.to_string().into())),
            Value::Number(_) => prop_assert!(text.is_some_and(|it| it.as_bytes() == found.bytes())),
            _ => prop_assert_eq!(text, None),
        }
    }
    Ok(())
}

/// The value without what is at the pointers, the last first, so that indices stay.
fn removed(mut value: Value, pointers: &[String]) -> Value {
    let mut ways: Vec<Vec<String>> = (pointers.iter())
        .map(|text| text.parse::<Pointer>().unwrap().tokens().to_vec())
        .collect();
    let index = |token: &String| token.parse::<usize>().unwrap_or_default();
    ways.sort();
    ways.dedup();
    ways.sort_by_key(|way| std::cmp::Reverse(way.iter().map(index).collect::<Vec<_>>()));
    for way in ways {
        let (last, before) = way.split_last().unwrap();
        let escape = |token: &String| format!("/{}", token.replace('~', "~0").replace('/', "~1"));
        let canonical = last == "0" || !last.starts_with(['0', '+']);
        match value.pointer_mut(&before.iter().map(escape).collect::<String>()) {
            Some(Value::Object(members)) => {
                members.remove(last);
            }
            Some(Value::Array(items)) => {
                if let Some(index) = last
                    .parse()
                    .ok()
                    .filter(|it| canonical && *it < items.len())
                {
                    items.remove(index);
                }
            }
            _ => {}
        }
    }
    value
}

/// A value with each number as a double.
fn doubles(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!({"number": number.as_f64()}),
        Value::Array(items) => items.iter().map(doubles).collect(),
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| (name.clone(), doubles(value)));
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn any_pointers_find_in_any_document_what_serde_json_finds(
        document in document(), pointers in pointers(),
    ) {
        check_pointers(document.as_bytes(), &pointers)?;
    }

    #[test]
    fn a_damaged_document_is_refused_if_serde_json_refuses_it(
        document in damaged(), pointers in pointers(),
    ) {
        check_pointers(&document, &pointers)?;
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40), pointers in pointers()) {
        check_pointers(&bytes, &pointers)?;
    }

    #[test]
    fn what_is_left_out_is_what_is_removed_from_the_value(
        document in document(), pointers in pointers(),
    ) {
        let pointers: Vec<_> = pointers.into_iter().filter(|it| !it.is_empty()).collect();
        let settings = json!({"schema": "json", "omit": pointers});
        let schema = Schema::from_json(&settings).unwrap();
        let kept = schema.omit(document.as_bytes()).unwrap();
        let value: Value = serde_json::from_str(&document).unwrap();
        let left: Value = serde_json::from_slice(&kept).unwrap();
        prop_assert_eq!(&left, &removed(value, &pointers));
        // The bytes that are left stand in the document in this order.
        let mut bytes = document.bytes();
        prop_assert!(kept.iter().all(|byte| bytes.any(|it| it == *byte)));
    }

    #[test]
    fn a_document_equals_those_with_the_same_value(left in document(), right in document()) {
        let (value, other): (Value, Value) =
            (serde_json::from_str(&left).unwrap(), serde_json::from_str(&right).unwrap());
        let holds = |wanted: &Value| {
            let condition = Condition::from_json(&json!({"at": "", "equals": wanted})).unwrap();
            let mut set = PointerSet::default();
            set.add(condition.at());
            condition.holds(set.read(left.as_bytes()).unwrap()[0].as_ref())
        };
        prop_assert!(holds(&value));
        prop_assert!(!holds(&other) || doubles(&value) == doubles(&other));
    }

    #[test]
    fn the_last_element_that_meets_a_condition_is_chosen(
        states in proptest::collection::vec((select(vec!["null", "1", "\"x\"", "true"]), any::<bool>()), 0..6),
    ) {
        let items = states.iter().map(|(state, ok)| format!("{{\"ok\" : {ok}, \"s\":{state} }}"));
        let document = format!("{{\"l\":[ {} ]}}", items.collect::<Vec<_>>().join(" , "));
        let condition = json!([{"at": "/ok", "equals": true}]);
        let schema = Schema::from_json(&json!({"schema": "json",
            "state": {"at": "/l", "where": condition, "last": "/s"},
            "oldState": {"at": "/l", "where": condition, "previous": "/s"},
        })).unwrap();
        let fields = schema.read(document.as_bytes()).unwrap().unwrap();
        let mut met = states.iter().rev().filter(|(state, ok)| *ok && *state != "null");
        let mut next = || met.next().map(|(state, _)| state.trim_matches('"').to_owned());
        prop_assert_eq!(fields.state.map(|it| it.into_owned()), next());
        prop_assert_eq!(fields.old_state.map(|it| it.into_owned()), next());
    }

    #[test]
    fn different_parts_make_different_ids(
        left in ("[a/~]{0,4}", "[a/~]{0,4}"), right in ("[a/~]{0,4}", "[a/~]{0,4}"),
    ) {
        let schema = Schema::from_json(&json!({"schema": "json", "id": ["/0", "/1"]})).unwrap();
        let id = |parts: &(String, String)| {
            let event = json!([parts.0, parts.1]).to_string();
            schema.read(event.as_bytes()).unwrap().unwrap().id
        };
        prop_assert_eq!(id(&left) == id(&right), left == right);
    }

    #[test]
    fn every_preset_reads_or_refuses_any_document(document in damaged()) {
        for name in Schema::PRESETS.iter().filter(|name| **name != "pointers") {
            let schema = Schema::from_json(&json!({"schema": name})).unwrap();
            for event in schema.split(&document).unwrap_or_default() {
                match schema.read(event.bytes()) {
                    Ok(_) => {}
                    Err(error) => prop_assert!(*name == "aurora" || error.to_string().contains("byte"), "{}", error),
                }
            }
        }
    }
}

#[test]
fn of_a_member_that_occurs_twice_the_last_one_counts() {
    let pointers = ["/a", "/a/b", "/a/b/c", "/a/0", "/d", "/d/b"].map(str::to_owned);
    for document in [
        r#"{"a":{"b":{"c":1}},"a":2}"#,
        r#"{"a":{"b":{"c":1}},"a":{"b":null}}"#,
        r#"{"a":{"b":{"c":1},"b":{}}}"#,
        r#"{"a":[7],"\u0061":{"b":{"c":1}}}"#,
        r#"{"a":{"b":{"c":1}},"x":{},"a":[]}"#,
        r#"{"a":3,"a":{"b":{"c":1,"c":2}}}"#,
        r#"{"d":{"b":1},"a":2,"d":{"a":3}}"#,
    ] {
        check_pointers(document.as_bytes(), &pointers).unwrap();
    }
    let pointers: Vec<_> = (0..80).map(|number| format!("/{number}/a")).collect();
    for number in [0, 62, 63, 64, 79] {
        let document = format!(r#"{{"{number}":{{"a":1}},"63":{{"a":2}},"{number}":{{}}}}"#);
        check_pointers(document.as_bytes(), &pointers).unwrap();
    }
}

#[test]
fn an_object_counts_as_an_array_of_one() {
    let condition = json!([{"at": "/ok", "equals": true}]);
    let schema = Schema::from_json(&json!({"schema": "json",
        "state": {"at": "/o", "where": condition, "last": "/s"},
        "oldState": {"at": "/o", "where": condition, "previous": "/s"},
    }))
    .unwrap();
    for (ok, expected) in [(true, Some("x")), (false, None)] {
        let event = json!({"o": {"ok": ok, "s": "x"}}).to_string();
        let fields = schema.read(event.as_bytes()).unwrap().unwrap();
        assert_eq!(fields.state.as_deref(), expected);
        assert_eq!(fields.old_state, None);
    }
}

#[test]
fn a_document_is_nested_no_deeper_than_the_bound() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}0{}", open.repeat(depth), close.repeat(depth));
        let mut set = PointerSet::default();
        set.add(&"/a/a/a".parse().unwrap());
        set.add(&"/0/0/0".parse().unwrap());
        let bound = usize::try_from(webhook_model::MAX_DEPTH).unwrap();
        assert!(set.read(nested(bound).as_bytes()).is_ok());
        assert!(set.read(nested(bound + 1).as_bytes()).is_err());
        assert!(set.read(nested(100_000).as_bytes()).is_err());
    }
}

#[test]
fn of_several_pointers_an_error_names_the_one_of_which_most_was_found() {
    let last = json!({"at": "/e", "prefix": "x"});
    let key = json!({"first": ["/a/b", "/c/d", last]});
    let schema = Schema::from_json(&json!({"schema": "pointers", "key": key})).unwrap();
    for (event, expected) in [
        (
            "{}",
            "\"/a/b\": the document is an object without \"a\" (byte 0)",
        ),
        (
            "{\"c\":{}}",
            "\"/c/d\": \"/c\" is an object without \"d\" (byte 5)",
        ),
        (
            "{\"c\":{},\"a\":{}}",
            "\"/a/b\": \"/a\" is an object without \"b\" (byte 12)",
        ),
        (
            "{\"e\":\"y\"}",
            "\"/e\": \"/e\" is a string, which the selector does not accept (byte 5)",
        ),
    ] {
        let error = schema.read(event.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("key: no value at {expected}"));
    }
}

#[test]
fn each_error_names_the_setting_the_pointer_and_the_byte() {
    let schema = Schema::from_json(&json!({"schema": "pointers", "key": ["/a/b", "/c"],
        "state": {"at": "/l", "last": "/s"}, "job": "/j"}))
    .unwrap();
    for (event, expected) in [
        (
            "{}",
            "key: no value at \"/a/b\": the document is an object without \"a\" (byte 0)",
        ),
        (
            "[]",
            "key: no value at \"/a/b\": the document is an array without \"a\" (byte 0)",
        ),
        (
            " 7",
            "key: no value at \"/a/b\": the document is a number (byte 1)",
        ),
        (
            "{\"a\": {}}",
            "key: no value at \"/a/b\": \"/a\" is an object without \"b\" (byte 6)",
        ),
        (
            "{\"a\":{\"b\":null}}",
            "key: no value at \"/a/b\": \"/a/b\" is null (byte 10)",
        ),
        (
            "{\"a\":{\"b\":[1]}}",
            "key: expected a string, a number or a boolean at \"/a/b\", found an array (byte 10)",
        ),
        (
            "{\"a\":{\"b\":1}}",
            "key: no value at \"/c\": the document is an object without \"c\" (byte 0)",
        ),
        (
            "{\"a\":{\"b\":1},\"c\":2,\"l\":7}",
            "state: expected an array at \"/l\", found a number (byte 23)",
        ),
        (
            "{\"a\":{\"b\":1},\"c\":2,\"l\":[{\"s\":{}}]}",
            "state: expected a string, a number or a boolean at \"/l/s\", found an object (byte 29)",
        ),
        (
            "{\"a\":{\"b\":1},\"c\":2,\"j\":[]}",
            "job: expected a string, a number or a boolean at \"/j\", found an array (byte 23)",
        ),
        (
            "{\"a\":",
            "expected a JSON value, found the end of the text, at line 1 column 6 (byte 5)",
        ),
    ] {
        let error = schema.read(event.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{event}");
    }
}
