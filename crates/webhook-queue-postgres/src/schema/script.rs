//! The statements that create the tables and functions.

use super::template;

/// The version of the tables that this program creates and uses.
pub const SCHEMA_VERSION: u32 = 1;

/// The statements that create the tables of a queue in this schema, for an administrator to run if
/// the user of the workers may not: one script for `psql`. With the name of a role, the script
/// grants it what a worker needs.
#[must_use]
pub fn schema_sql(schema: &str, slots: u16, role: Option<&str>) -> String {
    let mut script = creation(schema, slots);
    if let Some(role) = role {
        script += &template::render(
            include_str!("grants.sql"),
            schema,
            &[("role", &template::identifier(role))],
        );
    }
    format!("BEGIN;\n{script}COMMIT;\n")
}

/// The statements that create the tables and functions.
pub(super) fn creation(schema: &str, slots: u16) -> String {
    let slots = slots.to_string();
    let version = SCHEMA_VERSION.to_string();
    let values = [("slots", slots.as_str()), ("version", version.as_str())];
    template::render(include_str!("tables.sql"), schema, &values)
        + &template::render(include_str!("flush.sql"), schema, &[])
        + &template::render(include_str!("repair.sql"), schema, &[])
        + &template::render(include_str!("lease.sql"), schema, &[])
        + &template::render(include_str!("segments.sql"), schema, &[])
}
