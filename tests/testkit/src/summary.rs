//! What `--summary json` prints.

use serde_json::Value;

/// A summary, by the names of its numbers.
#[derive(Debug)]
pub struct Summary(Value);

impl Summary {
    /// Finds it in the standard error of `webhookd`.
    pub fn find(stderr: &str) -> Option<Summary> {
        let lines = stderr.lines().rev();
        let mut values = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        values
            .find(|value| value.get("delivered").is_some())
            .map(Summary)
    }

    /// A number by its JSON pointer: `/delivered`, `/counters/webhooks_errors`,
    /// `/targets/0/outcomes/5xx`.
    pub fn count(&self, pointer: &str) -> u64 {
        let number = self.0.pointer(pointer).and_then(Value::as_u64);
        number.unwrap_or_else(|| panic!("there is no count at {pointer} in {}", self.0))
    }

    /// Aurora's counters: attempts, successes, errors, user errors.
    pub fn counters(&self) -> [u64; 4] {
        ["attempts", "success", "errors", "user_errors"]
            .map(|name| self.count(&format!("/counters/webhooks_{name}")))
    }

    /// The outcomes of the first target that are not 0, as `5xx 3, timeout 1`.
    pub fn outcomes(&self) -> String {
        let outcomes = self.0.pointer("/targets/0/outcomes");
        let outcomes = outcomes.and_then(Value::as_object);
        let outcomes = outcomes.unwrap_or_else(|| panic!("there are no outcomes in {}", self.0));
        let seen = outcomes
            .iter()
            .filter(|(_, count)| count.as_u64() != Some(0));
        let shown: Vec<_> = seen
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        shown.join(", ")
    }

    /// The whole of it.
    pub fn json(&self) -> &Value {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_found_behind_warnings() {
        let stderr = "warning: {not json}\n{\"delivered\":1}\nbye\n";
        assert_eq!(Summary::find(stderr).unwrap().count("/delivered"), 1);
        assert!(Summary::find("nothing\n{}\n").is_none());
    }
}
