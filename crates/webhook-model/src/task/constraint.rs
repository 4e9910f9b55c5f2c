//! Constraints on the hosts that a task may run on.

use crate::Union;
use crate::field::structure::structure;
use crate::field::variant::union;
use crate::release::Span;

structure! {
    /// A condition on an attribute of the host.
    Constraint {
        /// The attribute's name.
        text name, with_name, "name", Span::ALWAYS;
        /// The condition.
        part(Union<TaskConstraint>) constraint, with_constraint, "constraint", Span::ALWAYS;
    }
}

union! {
    /// A condition on the values of a host attribute.
    TaskConstraint {
        /// The attribute must have one of these values, or none of them.
        Value(ValueConstraint) "VALUE";
        /// At most this many of the job's tasks run on hosts with the same value.
        Limit(LimitConstraint) "LIMIT";
    }
}

structure! {
    /// The attribute must have one of these values, or none of them.
    ValueConstraint {
        /// Whether the attribute must have none of them.
        scalar(bool) negated, with_negated, "negated", Span::ALWAYS;
        /// The values.
        set(String) values, with_values, "values", Span::ALWAYS;
    }
}

structure! {
    /// At most this many of the job's tasks run on hosts with the same value.
    LimitConstraint {
        /// The largest number of tasks.
        scalar(i32) limit, with_limit, "limit", Span::ALWAYS;
    }
}

impl Constraint {
    /// At most `limit` of the job's tasks on hosts of the same `attribute` (`host`, `rack`).
    #[must_use]
    pub fn limit(attribute: impl Into<String>, limit: i32) -> Self {
        let limit = TaskConstraint::Limit(LimitConstraint::default().with_limit(limit));
        Constraint::default()
            .with_name(attribute)
            .with_constraint(limit)
    }

    /// Only on hosts whose `attribute` has one of these values.
    #[must_use]
    pub fn one_of<V: Into<String>>(
        attribute: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = ValueConstraint::default()
            .with_negated(false)
            .with_values(values);
        let constraint = TaskConstraint::Value(values);
        Constraint::default()
            .with_name(attribute)
            .with_constraint(constraint)
    }
}
