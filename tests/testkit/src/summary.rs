//! What `--summary json` prints.

use serde_json::Value;

/// A summary, by the names of its numbers.
#[derive(Debug)]
pub struct Summary(Value);

impl Summary {
    /// Finds it in what `webhookd` said.
    pub(crate) fn find(stderr: &str) -> Option<Summary> {
        let objects = stderr
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        objects
            .into_iter()
            .find(|value| value.get("delivered").is_some())
            .map(Summary)
    }

    /// A number by its JSON pointer: `/delivered`, `/counters/webhooks_errors`,
    /// `/targets/0/outcomes/5xx`.
    ///
    /// # Panics
    ///
    /// When there is no such number.
    pub fn count(&self, pointer: &str) -> u64 {
        let number = self.0.pointer(pointer).and_then(Value::as_u64);
        number.unwrap_or_else(|| panic!("there is no count at {pointer} in {}", self.0))
    }

    /// Aurora's counters: attempts, successes, errors, user errors.
    ///
    /// # Panics
    ///
    /// When one of them is missing.
    pub fn counters(&self) -> [u64; 4] {
        ["attempts", "success", "errors", "user_errors"]
            .map(|name| self.count(&format!("/counters/webhooks_{name}")))
    }

    /// The outcomes of the first target that are not 0, as `5xx 3, timeout 1`.
    ///
    /// # Panics
    ///
    /// When there are no outcomes.
    pub fn outcomes(&self) -> String {
        let outcomes = self
            .0
            .pointer("/targets/0/outcomes")
            .and_then(Value::as_object);
        let outcomes = outcomes.unwrap_or_else(|| panic!("there are no outcomes in {}", self.0));
        let seen = outcomes
            .iter()
            .filter(|(_, count)| count.as_u64() != Some(0));
        seen.map(|(name, count)| format!("{name} {count}"))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The whole of it.
    pub fn json(&self) -> &Value {
        &self.0
    }
}
