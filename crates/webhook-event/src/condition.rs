//! Conditions on the values of a document.

use crate::error::InvalidSchema;
use crate::fragment::Fragment;
use crate::pointer::Pointer;
use crate::settings::{self, Members};
use serde_json::Value;

/// A condition on one value of a document: `{"at": "/Type", "in": ["AllocationUpdated"]}`.
///
/// All of its tests must hold. On a value that is absent, every test fails but `exists: false` and
/// `not`.
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
    AtLeast(f64),
    AtMost(f64),
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
            (Test::AtLeast(least), Some(found)) => number(found).is_some_and(|n| n >= *least),
            (Test::AtMost(most), Some(found)) => number(found).is_some_and(|n| n <= *most),
        }
    }
}

fn equals(found: &Fragment<'_>, value: &Value) -> bool {
    match value {
        Value::String(text) => {
            found.kind() == "a string" && found.text().is_some_and(|found| found == *text)
        }
        Value::Number(wanted) => match found.value() {
            Some(Value::Number(found)) => found == *wanted || found.as_f64() == wanted.as_f64(),
            _ => false,
        },
        other => found.value().as_ref() == Some(other),
    }
}

fn number(found: &Fragment<'_>) -> Option<f64> {
    match found.kind() {
        "a number" => found.text()?.parse().ok(),
        _ => None,
    }
}
