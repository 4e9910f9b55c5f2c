//! Conditions on the values of a document.

use crate::error::InvalidSchema;
use crate::fragment::Fragment;
use crate::number;
use crate::pointer::Pointer;
use crate::settings::{self, Members};
use serde_json::{Number, Value};
use std::cmp::Ordering;

/// A condition on one value of a document: `{"at": "/Type", "in": ["AllocationUpdated"]}`.
///
/// All of its tests must hold: `in` (a list of values), `equals` (a value), `prefix` (a text),
/// `exists`, `atLeast` and `atMost` (numbers), and `not` (an object of such tests, not all of which
/// hold). Values compare as values: 1 equals `1.0`, and an object another one with the same members.
/// On a value that is absent, every test fails but `exists: false` and `not`; a null is a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    at: Pointer,
    tests: Vec<Test>,
    settings: Value,
}

/// A test of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    In(Vec<Value>),
    Equals(Value),
    Prefix(String),
    Exists(bool),
    AtLeast(Number),
    AtMost(Number),
    Not(Vec<Test>),
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// A member is missing, unknown or has the wrong type.
    pub fn from_json(value: &Value) -> Result<Condition, InvalidSchema> {
        let mut members = Members::of(value, "a condition")?;
        let at = members.optional("at", settings::pointer)?;
        let tests = tests(&mut members)?;
        members.end()?;
        let at = at.ok_or_else(|| settings::missing("at"))?;
        if tests.is_empty() {
            return Err(InvalidSchema::new("a condition without a test")
                .help("add in, equals, prefix, exists, atLeast, atMost or not"));
        }
        let settings = value.clone();
        Ok(Condition {
            at,
            tests,
            settings,
        })
    }

    /// The condition as it was read.
    #[must_use]
    pub fn settings(&self) -> &Value {
        &self.settings
    }

    /// The place of the value.
    #[must_use]
    pub fn at(&self) -> &Pointer {
        &self.at
    }

    /// Whether the value, `None` if it is absent, meets all tests.
    #[must_use]
    pub fn holds(&self, found: Option<&Fragment<'_>>) -> bool {
        hold(&self.tests, found)
    }
}

/// Reads the tests among the members of an object.
pub(crate) fn tests(members: &mut Members<'_>) -> Result<Vec<Test>, InvalidSchema> {
    let mut tests = Vec::new();
    tests.extend(members.optional("in", |value| {
        settings::list(value, |item| Ok(item.clone())).map(Test::In)
    })?);
    tests.extend(members.optional("equals", |value| Ok(Test::Equals(value.clone())))?);
    tests.extend(members.optional("prefix", |value| settings::text(value).map(Test::Prefix))?);
    tests.extend(members.optional("exists", |value| settings::boolean(value).map(Test::Exists))?);
    tests.extend(members.optional("atLeast", |value| {
        settings::number(value).map(Test::AtLeast)
    })?);
    tests.extend(members.optional("atMost", |value| settings::number(value).map(Test::AtMost))?);
    tests.extend(members.optional("not", |value| {
        let mut members = Members::of(value, "a test")?;
        let inner = self::tests(&mut members)?;
        members.end()?;
        if inner.is_empty() {
            return Err(InvalidSchema::new("`not` without a test").help("such as {\"in\": []}"));
        }
        Ok(Test::Not(inner))
    })?);
    Ok(tests)
}

/// Whether a value meets all tests.
pub(crate) fn hold(tests: &[Test], found: Option<&Fragment<'_>>) -> bool {
    tests.iter().all(|test| test.holds(found))
}

impl Test {
    fn holds(&self, found: Option<&Fragment<'_>>) -> bool {
        match (self, found) {
            (Test::Exists(exists), found) => *exists == found.is_some(),
            (Test::Not(tests), found) => !hold(tests, found),
            (_, None) => false,
            (Test::Equals(value), Some(found)) => equals(found, value),
            (Test::In(values), Some(found)) => values.iter().any(|value| equals(found, value)),
            (Test::Prefix(prefix), Some(found)) => found
                .text()
                .is_some_and(|text| text.starts_with(prefix.as_str())),
            (Test::AtLeast(least), Some(found)) => {
                compare(found, least).is_some_and(Ordering::is_ge)
            }
            (Test::AtMost(most), Some(found)) => compare(found, most).is_some_and(Ordering::is_le),
        }
    }
}

fn equals(found: &Fragment<'_>, value: &Value) -> bool {
    if found.kind() != settings::kind(value) {
        return false;
    }
    match value {
        Value::Null => true,
        Value::Bool(wanted) => *wanted == (found.bytes() == b"true"),
        Value::String(wanted) => found.text().is_some_and(|text| text == *wanted),
        Value::Number(wanted) => compare(found, wanted).is_some_and(Ordering::is_eq),
        Value::Array(items) if items.is_empty() => found.is_empty(),
        Value::Object(members) if members.is_empty() => found.is_empty(),
        Value::Array(_) | Value::Object(_) => {
            found.value().is_some_and(|found| same(&found, value))
        }
    }
}

/// Whether two values are the same, with numbers compared by value.
fn same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(found), Value::Number(wanted)) => {
            number::compare(&found.to_string(), wanted).is_eq()
        }
        (Value::Array(found), Value::Array(wanted)) => {
            let mut pairs = found.iter().zip(wanted);
            found.len() == wanted.len() && pairs.all(|(found, wanted)| same(found, wanted))
        }
        (Value::Object(found), Value::Object(wanted)) => {
            let mut members = found.iter();
            found.len() == wanted.len()
                && members.all(|(name, found)| wanted.get(name).is_some_and(|it| same(found, it)))
        }
        _ => found == wanted,
    }
}

/// How the value compares with a number; `None` if it is no number.
fn compare(found: &Fragment<'_>, wanted: &Number) -> Option<Ordering> {
    let text = found.number()?;
    Some(number::compare(text, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(test: &Value, found: Option<&str>) -> bool {
        let mut condition = test.clone();
        condition["at"] = json!("/a");
        let condition = Condition::from_json(&condition).unwrap();
        condition.holds(found.map(|json| Fragment::new(json.as_bytes(), 0)).as_ref())
    }

    #[test]
    fn tests_compare_values() {
        for (test, held, failed) in [
            (json!({"equals": 1}), "1 1.0 10e-1", "2 \"1\" true [1] null"),
            (json!({"equals": 0}), "0 -0 0.0 -0e9", "1e-400 \"\""),
            (
                json!({"equals": "a/b"}),
                r#""a/b" "a\/b" "\u0061/b""#,
                r#""a" "\"a/b" {}"#,
            ),
            (json!({"equals": null}), "null", "0 false {} \"null\""),
            (json!({"equals": {}}), "{} {\n}", "[] {\"a\":{}} null"),
            (
                json!({"equals": [1, {"a": 2.0}]}),
                r#"[1,{"a":2}] [1.0,{"a":3,"a":2}]"#,
                r#"[1] [1,{"a":2,"b":2}] [1,{"b":2}]"#,
            ),
            (
                json!({"in": [[], "x", 7]}),
                r#"[] "x" 7.0"#,
                r#"[7] "7" {}"#,
            ),
            (json!({"in": []}), "", "1 null []"),
            (json!({"prefix": "1"}), r#"1 "1" 12.5"#, "2 [1] true"),
            (json!({"prefix": ""}), r#""" 1 true"#, "null {} []"),
            (json!({"exists": true}), "1 null", ""),
            (
                json!({"atLeast": 9_007_199_254_740_993_u64}),
                "9007199254740993 1e16",
                "9007199254740992 \"9e99\"",
            ),
            (
                json!({"atLeast": 1, "atMost": 2}),
                "1 1.5 2",
                "0.9 2.1 null",
            ),
            (json!({"not": {"atLeast": 1}}), "0 \"a\" null", "1 2"),
            (json!({"not": {"exists": true}}), "", "1 null"),
        ] {
            for (texts, expected) in [(held, true), (failed, false)] {
                for text in texts.split(' ').filter(|text| !text.is_empty()) {
                    assert_eq!(holds(&test, Some(text)), expected, "{test} on {text}");
                }
            }
        }
    }

    #[test]
    fn a_condition_has_the_settings_it_was_read_from() {
        let settings = json!({"at": "/a", "not": {"equals": 1.50}});
        let condition = Condition::from_json(&settings).unwrap();
        assert_eq!(condition.settings(), &settings);
    }

    #[test]
    fn on_an_absent_value_only_negations_hold() {
        for test in [
            json!({"exists": false}),
            json!({"not": {"equals": 1}}),
            json!({"not": {"in": []}}),
        ] {
            assert!(holds(&test, None), "{test}");
        }
        for test in [
            json!({"equals": null}),
            json!({"prefix": ""}),
            json!({"atMost": 1}),
            json!({"not": {"exists": false}}),
        ] {
            assert!(!holds(&test, None), "{test}");
        }
    }
}
