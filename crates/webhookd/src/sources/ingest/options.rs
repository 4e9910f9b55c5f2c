//! The options of the HTTP ingest.

use crate::units::{parse_bytes, parse_duration};
use std::path::PathBuf;
use std::time::Duration;

/// How events come in over HTTP.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Events over HTTP")]
pub(crate) struct IngestOptions {
    /// Take events by POST on this address; port 0 picks a free one
    ///
    /// May be given more than once. `systemd` is every socket that systemd passes as `ingest`,
    /// `fd:NAME` one passed under another name. An answer 2xx comes after the event is safe on
    /// disk. Without a token or a secret, whoever reaches the address may send events.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<String>,

    /// Take requests only with the bearer token that is in this file
    ///
    /// A file of several lines holds several tokens, each of them good.
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub(crate) listen_token_file: Option<PathBuf>,

    /// Take requests only with a signature (Standard Webhooks) by the secret in this file
    ///
    /// A file of several lines holds several secrets, each of them good.
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub(crate) listen_secret_file: Option<PathBuf>,

    /// The longest body of several events; the longest event is the configuration's maxEventBytes
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    pub(crate) max_body: usize,

    /// Bytes of events that all requests together may have in memory
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    pub(crate) max_in_flight: usize,

    /// The longest head of a request, from 8KiB
    #[arg(long, value_name = "BYTES", default_value = "16KiB", value_parser = parse_head)]
    pub(crate) max_head: usize,

    /// The most header fields of a request
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) max_headers: usize,

    /// Connections open at once; one more closes the one that is idle longest
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = at_least_one)]
    pub(crate) max_connections: usize,

    /// How long a peer may take to send a request's head
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) head_timeout: Duration,

    /// How long a peer may take to send an event
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) body_timeout: Duration,

    /// How long a connection may be idle
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = parse_duration)]
    pub(crate) idle_timeout: Duration,

    /// How long a request waits for the disk before it is answered that it is not known yet
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) sync_timeout: Duration,
}

/// The HTTP library reads no less at once.
const LEAST_HEAD: usize = 8 * 1024;

fn parse_head(text: &str) -> Result<usize, String> {
    let bytes = parse_bytes(text)?;
    if bytes < LEAST_HEAD {
        return Err("it is 8KiB at least".to_owned());
    }
    Ok(bytes)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("write a number from 1 on".to_owned()),
        Ok(number) => Ok(number),
    }
}
