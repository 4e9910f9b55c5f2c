//! The configuration of webhookd: reads and validates `webhook.json`.
//!
//! ```
//! use webhook_config::Config;
//!
//! let file = br#"{ "targetURL": "http://localhost:5000/", "headers": {}, "timeoutMsec": 5 }"#;
//! let loaded = Config::parse("webhook.json", file)?;
//! assert_eq!(loaded.config.targets()[0].url().to_string(), "http://localhost:5000/");
//! print!("{}", loaded.warnings.render(false));
//! # Ok::<(), webhook_config::LoadError>(())
//! ```
//!
//! *Architecture invariant*: this crate opens only files that the caller or the configuration
//! names, and no socket. It uses `webhook-model` for the names of Aurora's states,
//! `webhook-event` for the settings of inputs, and knows nothing about delivery.

mod aurora;
mod batch;
mod breaker;
mod config;
mod delivery;
mod diagnostic;
mod file;
mod filter;
mod header;
mod input;
mod json;
mod kubernetes;
mod limits;
mod mask;
mod name;
mod oauth2;
mod postgres;
mod postgres_url;
mod proxy;
mod queue;
mod reference;
mod retention;
mod retry;
mod schema;
mod secret;
mod show;
mod show_parts;
mod show_sources;
mod signing;
mod source;
mod stream;
mod target;
mod tls;
mod url;

pub use batch::BatchPolicy;
pub use breaker::BreakerPolicy;
pub use config::{Config, ConfigBuilder, Loaded};
pub use delivery::{Delivery, Format, Method};
pub use diagnostic::{Code, Diagnostic, Diagnostics, LoadError, Severity};
pub use file::{ConfigText, OpenError, read_file};
pub use filter::{InvalidJobPattern, JobFilter, JobPattern, StatusFilter};
pub use header::{Header, InvalidHeader};
pub use input::{InputFilter, InputName, InvalidInputName};
pub use kubernetes::{InvalidResource, Kubernetes, Resource};
pub use limits::BuildError;
pub use mask::SecretMask;
pub use name::{InvalidName, TargetName};
pub use oauth2::{InvalidOAuth2, OAuth2};
pub use postgres::{InvalidSchemaName, PostgresSettings, SchemaName};
pub use postgres_url::{InvalidPostgresUrl, PostgresUrl, SslMode};
pub use proxy::{InvalidProxy, ProxyUrl};
pub use queue::{DeadLetterSettings, QueueSettings, WhenFull};
pub use reference::reference;
pub use retention::Retention;
pub use retry::{InvalidRetry, RetryPolicy};
pub use schema::json_schema;
pub use secret::SecretSource;
pub use show::ShownConfig;
pub use signing::{InvalidSigningSecret, NoSecrets, Signing, SigningSecret};
pub use source::{Source, SourceKind};
pub use stream::{Connection, Stream, StreamUrl};
pub use target::{Target, TargetBuilder};
pub use tls::{ClientIdentity, InvalidPem, Tls};
pub use url::{InvalidUrl, TargetUrl};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
