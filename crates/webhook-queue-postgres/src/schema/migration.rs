//! Creates the tables, or finds them.

use webhook_queue::QueueError;

use super::script::{SCHEMA_VERSION, creation};
use super::template::identifier;
use crate::connection::Session;
use crate::failure::{Failure, unusable};
use crate::settings::{Role, Settings};

/// What was fixed when the tables were created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The number of slots.
    pub(crate) slots: u16,
    /// The key of the hashes of keys.
    pub(crate) secret: [u8; 16],
}

/// Finds the tables; creates them if there are none and this process is a worker. Of several
/// processes that do so at once, one creates them.
pub(crate) fn prepare(
    session: &mut Session,
    settings: &Settings,
    storage: &str,
) -> Result<Meta, QueueError> {
    let failed = |failure: Failure| failure.into_error(storage, "open");
    if let Some(meta) = find(session, settings, storage)? {
        return Ok(meta);
    }
    let in_recovery = session.query_one("SELECT pg_is_in_recovery()", &[]);
    if in_recovery.map_err(failed)?.get(0) {
        return Err(unusable(
            storage,
            "it is a standby, which cannot be written to; name the primary in the URL",
        ));
    }
    if settings.role == Role::Operator {
        return Err(unusable(
            storage,
            "it has no queue; the first webhookd with this file creates it, or check the schema",
        ));
    }
    let created = session.transaction(|session| {
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('webhook queue ' || $1, 0))";
        session.query(lock, &[&settings.schema])?;
        match read(session, &settings.schema)? {
            Some(_) => Ok(()),
            None => session.batch(&creation(&settings.schema, settings.slots)),
        }
    });
    created.map_err(failed)?;
    find(session, settings, storage)?.ok_or_else(|| unusable(storage, "its tables are gone"))
}

/// The tables that exist, if their version is known.
fn find(
    session: &mut Session,
    settings: &Settings,
    storage: &str,
) -> Result<Option<Meta>, QueueError> {
    let found = read(session, &settings.schema);
    let Some([version, slots, secret]) = found.map_err(|it| it.into_error(storage, "open"))? else {
        return Ok(None);
    };
    if version != SCHEMA_VERSION.to_string() {
        return Err(unusable(
            storage,
            format!(
                "its tables have version {version:?}, and this program knows only version \
                 {SCHEMA_VERSION}: use the program that created them, or name another schema"
            ),
        ));
    }
    let meta = slots.parse().ok().zip(parse_secret(&secret));
    match meta {
        Some((slots, secret)) => Ok(Some(Meta { slots, secret })),
        None => Err(unusable(storage, "its table `meta` was changed")),
    }
}

/// The version, the slots and the secret, if there are tables.
fn read(session: &mut Session, schema: &str) -> Result<Option<[String; 3]>, Failure> {
    let table = format!("{}.meta", identifier(schema));
    let exists = session.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table])?;
    if !exists.get::<_, bool>(0) {
        return Ok(None);
    }
    let rows = session.query(&format!("SELECT key, value FROM {table}"), &[])?;
    let value = |key: &str| {
        let row = rows.iter().find(|row| row.get::<_, &str>(0) == key);
        row.map_or_else(String::new, |row| row.get(1))
    };
    Ok(Some([value("version"), value("slots"), value("secret")]))
}

fn parse_secret(text: &str) -> Option<[u8; 16]> {
    let number = u128::from_str_radix(text, 16).ok()?;
    (text.len() == 32).then(|| number.to_be_bytes())
}
