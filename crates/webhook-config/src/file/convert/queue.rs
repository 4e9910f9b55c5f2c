//! Converts the settings of the queue.

use super::context::{Context, number, opening, required};
use super::credentials::convert_tls;
use crate::diagnostic::Code;
use crate::file::mirror::{DeadLettersFile, PostgresFile, QueueFile, SecretFile};
use crate::file::read::{Reader, Slot, Text};
use crate::limits;
use crate::postgres::{PostgresSettings, SchemaName};
use crate::postgres_url::{PostgresUrl, SslMode};
use crate::queue::{DeadLetterSettings, QueueSettings};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The default of `queue.postgres.stateDir`.
const STATE_DIR: &str = "webhook-state";

/// Converts the queue; `None` if something is wrong, which is then reported.
pub(super) fn convert_queue(
    slot: Slot<QueueFile>,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<QueueSettings> {
    let file = slot.given().unwrap_or_default();
    if let (Slot::Given(Text(dir)), Slot::Given(_)) = (&file.dir, &file.postgres) {
        let message = "`dir` and `postgres` exclude each other: the queue is in one of them";
        let help =
            "remove `dir`; `postgres.stateDir` has the files that a worker keeps on its machine";
        reader.error(Code::ConflictingKeys, &dir.span, message, help);
    }
    let place = match file.postgres {
        Slot::Given(postgres) => convert_postgres(postgres, context, reader),
        Slot::Bad => None,
        Slot::Absent | Slot::Null(_) => {
            let default = QueueSettings::default();
            directory(&file.dir, default.dir(), context, reader).map(QueueSettings::new)
        }
    };
    let bytes = number(&file.max_bytes, limits::QUEUE_BYTES, "maxBytes", reader);
    let most = limits::LAST_STATES;
    let states = number(&file.max_last_states, most, "maxLastStates", reader);
    let letters = file.dead_letters.given();
    let letters = letters.map(|file| dead_letters(&file, reader));
    let mut settings = place?.with_dead_letters(letters.unwrap_or_default());
    if let Some(bytes) = bytes {
        settings = settings.with_max_bytes(bytes);
    }
    if let Some(when_full) = file.when_full.as_given() {
        settings = settings.with_when_full(when_full.0);
    }
    if let Some(states) = states {
        settings = settings.with_max_last_states(states);
    }
    Some(settings)
}

/// The directory of a key, relative to that of the file.
fn directory(
    slot: &Slot<Text>,
    default: &Path,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<PathBuf> {
    match slot {
        Slot::Given(Text(dir)) if dir.value.is_empty() || dir.value.contains('\0') => {
            let message = "not a valid directory name";
            let help = "such as /var/lib/webhook";
            reader.error(Code::OutOfRange, &dir.span, message, help);
            None
        }
        Slot::Given(Text(dir)) => Some(context.surroundings.path(&dir.value)),
        _ => Some(context.surroundings.dir.join(default)),
    }
}

fn convert_postgres(
    file: PostgresFile,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<QueueSettings> {
    let what = "a database such as \"postgres://webhook@db.example.com/webhook\"";
    let brace = opening(&file.span);
    let secret = required(file.url, "url", what, &brace, context, reader);
    let url = secret.and_then(|secret| database(&secret, context, reader));
    let schema = match &file.schema {
        Slot::Given(Text(name)) => match SchemaName::new(name.value.as_str()) {
            Ok(schema) => Some(schema),
            Err(error) => {
                let message = "not a valid name of a schema";
                reader.error(Code::InvalidName, &name.span, message, error.to_string());
                None
            }
        },
        _ => Some(SchemaName::default()),
    };
    let slots = number(&file.slots, limits::SLOTS, "slots", reader);
    let lease = number(&file.lease, limits::LEASE_MSEC, "leaseMsec", reader);
    let poll = number(&file.poll, limits::POLL_MSEC, "pollMsec", reader);
    let tls_place = file.tls.as_given().map(|tls| opening(&tls.span));
    let tls = file
        .tls
        .given()
        .map(|tls| convert_tls(tls, context, reader));
    let state_dir = directory(&file.state_dir, Path::new(STATE_DIR), context, reader);
    let mut settings = PostgresSettings::new(url?)
        .with_schema(schema?)
        .with_tls(tls.unwrap_or_default());
    if let Some(place) = tls_place
        && settings.ssl_mode() == SslMode::Disable
    {
        let message = "`tls` has no effect: the URL has sslmode=disable";
        let help = "use sslmode=verify-full, or remove `tls`";
        reader.warning(Code::Ineffective, &place, message, help);
    }
    if let Some(slots) = slots.and_then(|slots| u16::try_from(slots).ok()) {
        settings = settings.with_slots(slots);
    }
    if let Some(lease) = lease {
        settings = settings.with_lease(Duration::from_millis(lease));
    }
    if let Some(poll) = poll {
        settings = settings.with_poll(Duration::from_millis(poll));
    }
    Some(QueueSettings::new(state_dir?).with_postgres(settings))
}

/// Reads the address of the database. No part of it is shown: its password may be anywhere, if
/// something is wrong.
fn database(
    secret: &SecretFile,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<PostgresUrl> {
    let resolved = context.surroundings.secret(secret, reader)?;
    match PostgresUrl::parse(&resolved.text) {
        Ok(url) => {
            if url.has_password() {
                let what = "the password in `url`";
                context.surroundings.warn_if_exposed(what, secret, reader);
            }
            Some(url)
        }
        Err(error) => {
            let message = "not the address of a database";
            reader.error(Code::InvalidUrl, &secret.span, message, error.to_string());
            None
        }
    }
}

fn dead_letters(file: &DeadLettersFile, reader: &mut Reader) -> DeadLetterSettings {
    let mut settings = DeadLetterSettings::default();
    let most = limits::DEAD_LETTER_BYTES;
    if let Some(bytes) = number(&file.max_bytes, most, "maxBytes", reader) {
        settings = settings.with_max_bytes(bytes);
    }
    let most = limits::DEAD_LETTER_COUNT;
    if let Some(count) = number(&file.max_count, most, "maxCount", reader) {
        settings = settings.with_max_count(count);
    }
    if let Some(age) = number(&file.max_age, limits::RETRY_MSEC, "maxAgeMsec", reader) {
        settings = settings.with_max_age(Duration::from_millis(age));
    }
    settings
}
