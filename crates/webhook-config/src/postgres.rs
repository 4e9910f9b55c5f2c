//! The settings of a queue in a PostgreSQL database.

use crate::postgres_url::{PostgresUrl, SslMode};
use crate::tls::Tls;
use std::fmt;
use std::time::Duration;

/// The settings of a queue in a PostgreSQL database, which several webhookds share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresSettings {
    pub(crate) url: PostgresUrl,
    pub(crate) schema: SchemaName,
    pub(crate) slots: u16,
    pub(crate) lease: Duration,
    pub(crate) poll: Duration,
    pub(crate) tls: Tls,
}

impl PostgresSettings {
    /// The default of [`Self::slots`].
    pub const DEFAULT_SLOTS: u16 = 64;

    /// The default of [`Self::lease`]: 5 s.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(5);

    /// The default of [`Self::poll`]: 5 ms.
    pub const DEFAULT_POLL: Duration = Duration::from_millis(5);

    /// The schema `webhook` of this database, 64 slots, a lease of 5 s.
    #[must_use]
    pub fn new(url: PostgresUrl) -> Self {
        PostgresSettings {
            url,
            schema: SchemaName::default(),
            slots: Self::DEFAULT_SLOTS,
            lease: Self::DEFAULT_LEASE,
            poll: Self::DEFAULT_POLL,
            tls: Tls::default(),
        }
    }

    /// Sets the schema of its tables.
    #[must_use]
    pub fn with_schema(mut self, schema: SchemaName) -> Self {
        self.schema = schema;
        self
    }

    /// Sets the number of slots, 1 to 1024; a [`ConfigBuilder`](crate::ConfigBuilder) refuses
    /// others.
    #[must_use]
    pub fn with_slots(mut self, slots: u16) -> Self {
        self.slots = slots;
        self
    }

    /// Sets the time after which the slots of a worker that is gone are taken over, 1 s to 10 min.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets the time between two looks for new events, 1 ms to 1 s.
    #[must_use]
    pub fn with_poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Sets the certificates that its connections trust and present.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// The database.
    #[must_use]
    pub fn url(&self) -> &PostgresUrl {
        &self.url
    }

    /// The schema of its tables.
    #[must_use]
    pub fn schema(&self) -> &SchemaName {
        &self.schema
    }

    /// The number of slots that keys are divided into: the most webhookds among which deliveries
    /// are divided. It is fixed once the schema exists.
    #[must_use]
    pub fn slots(&self) -> u16 {
        self.slots
    }

    /// The time after which the slots of a worker that is gone are taken over by others.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// The time between two looks for events that others have accepted.
    #[must_use]
    pub fn poll(&self) -> Duration {
        self.poll
    }

    /// The certificates that its connections trust and present.
    #[must_use]
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The `sslmode` of the URL. Without one, `verify-full` if certificates are set, and `prefer`
    /// as in libpq otherwise.
    #[must_use]
    pub fn ssl_mode(&self) -> SslMode {
        let default = match self.tls.is_default() {
            true => SslMode::Prefer,
            false => SslMode::VerifyFull,
        };
        self.url.ssl_mode().unwrap_or(default)
    }
}

/// The name of a schema in a database: an identifier that needs no quotes, 1 to 63 of the
/// characters `a-z 0-9 _`, which does not begin with a digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaName(String);

/// The text is not the name of a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a schema is 1 to {} of the characters a-z 0-9 _, begins with no digit and not with pg_",
    SchemaName::MAX_LENGTH
)]
pub struct InvalidSchemaName;

impl SchemaName {
    /// The largest length of a name.
    pub const MAX_LENGTH: usize = 63;

    /// Checks a text and makes it a name.
    ///
    /// # Errors
    /// When it is not a plain identifier, or the database's own.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidSchemaName> {
        let name = name.into();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_plain = (1..=Self::MAX_LENGTH).contains(&name.len()) && name.bytes().all(plain);
        let is_system = name.starts_with("pg_") || name == "information_schema";
        if !is_plain || is_system || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(InvalidSchemaName);
        }
        Ok(SchemaName(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for SchemaName {
    /// `webhook`.
    fn default() -> Self {
        SchemaName("webhook".to_owned())
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for SchemaName {
    type Err = InvalidSchemaName;

    fn from_str(name: &str) -> Result<Self, InvalidSchemaName> {
        SchemaName::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_a_plain_identifier() {
        for good in ["webhook", "_a9", "public", &"x".repeat(63)] {
            assert_eq!(SchemaName::new(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(64);
        let bad = [
            "",
            "A",
            "a b",
            "a.b",
            "a\"",
            "9a",
            "ä",
            "pg_catalog",
            "information_schema",
            &long,
        ];
        for bad in bad {
            assert_eq!(SchemaName::new(bad), Err(InvalidSchemaName), "{bad}");
        }
    }

    #[test]
    fn certificates_are_checked_where_they_are_set() {
        let settings = |url: &str| PostgresSettings::new(PostgresUrl::parse(url).unwrap());
        let pem = include_str!("../tests/data/client.pem");
        let tls = Tls::default().with_ca(pem).unwrap();
        assert_eq!(settings("host=h").ssl_mode(), SslMode::Prefer);
        let trusting = settings("host=h").with_tls(tls.clone());
        assert_eq!(trusting.ssl_mode(), SslMode::VerifyFull);
        let requiring = settings("host=h sslmode=require").with_tls(tls);
        assert_eq!(requiring.ssl_mode(), SslMode::Require);
    }
}
