//! Opens a queue in a database.

use std::sync::Arc;
use webhook_config::{PostgresSettings, QueueSettings, SslMode};
use webhook_queue::{Queue, QueueError};
use webhook_queue_postgres::{PostgresQueue, Role, Settings};

/// What checks the records of a queue in a database.
pub(crate) const CHECKED_BY: &str = "PostgreSQL checks its own files: enable data checksums \
     (pg_checksums), and check tables and indexes with pg_amcheck";

/// Opens the queue in this database.
///
/// # Errors
/// The database cannot be reached or used.
pub(crate) fn open(
    queue: &QueueSettings,
    postgres: &PostgresSettings,
    role: Role,
) -> Result<Arc<dyn Queue>, QueueError> {
    let tls = postgres.tls();
    let client = tls.client();
    let settings = Settings {
        ssl_mode: ssl_mode(postgres.ssl_mode()),
        ca_pem: tls.ca_pem().map(<[u8]>::to_vec),
        client_pem: client.map(|it| (it.certificate_pem().to_vec(), it.key_pem().to_vec())),
        schema: postgres.schema().to_string(),
        slots: postgres.slots(),
        lease: postgres.lease(),
        poll: postgres.poll(),
        max_bytes: queue.max_bytes(),
        max_last_states: queue.max_last_states(),
        worker_name: worker_name(),
        role,
        ..Settings::new(postgres.url().expose())
    };
    let queue = PostgresQueue::open(settings)?;
    if role == Role::Worker {
        warn_of_slots(&queue, postgres.slots())?;
    }
    Ok(Arc::new(queue))
}

/// Says that another number of slots has no effect on tables that exist.
fn warn_of_slots(queue: &PostgresQueue, asked: u16) -> Result<(), QueueError> {
    let shared = queue.statistics()?.shared;
    let slots = shared.map_or(asked, |it| it.slots);
    if slots != asked {
        tracing::warn!(
            "the queue keeps its {slots} slots, though queue.slots is {asked}: their number was \
             fixed when its tables were created"
        );
    }
    Ok(())
}

fn ssl_mode(mode: SslMode) -> webhook_queue_postgres::SslMode {
    use webhook_queue_postgres::SslMode as Mode;
    match mode {
        SslMode::Disable => Mode::Disable,
        SslMode::Prefer => Mode::Prefer,
        SslMode::Require => Mode::Require,
        SslMode::VerifyCa => Mode::VerifyCa,
        // A mode that is new is not weaker than the strongest.
        _ => Mode::VerifyFull,
    }
}

/// The machine and the process, as operators find them.
fn worker_name() -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    format!("{host}:{}", std::process::id())
}
