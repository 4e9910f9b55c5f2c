//! The options of the HTTP listener for events.

use crate::units::{parse_bytes, parse_duration};
use std::path::PathBuf;
use std::time::Duration;

/// How to accept events over HTTP.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Events over HTTP")]
pub(crate) struct IngestOptions {
    /// Accept events by POST on this address; port 0 picks a free one
    ///
    /// May be repeated. `systemd` stands for every socket that systemd passes as `ingest`, `fd:NAME`
    /// for one passed under another name. A 2xx response is sent after the event is synced to disk.
    /// Without a token or a secret, every program that can connect may send events.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<String>,

    /// Accept requests only with a bearer token of this file
    ///
    /// The file holds one token per line, any of which is accepted.
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub(crate) listen_token_file: Option<PathBuf>,

    /// Accept requests only with a signature (Standard Webhooks) by a secret of this file
    ///
    /// The file holds one secret per line, any of which may have signed.
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub(crate) listen_secret_file: Option<PathBuf>,

    /// Accept requests whose Host is this name, too, on an address of this machine only
    ///
    /// Without it, Host must be an address, a name without a dot, or one under localhost there: a web
    /// page whose name was made to resolve to this address (DNS rebinding) must not send events.
    #[arg(long, value_name = "NAME", requires = "listen")]
    pub(crate) listen_host: Vec<String>,

    /// Read a body as ISO-8859-1 if it is not UTF-8 and its Content-Type names no charset
    ///
    /// Such a body is transcoded to UTF-8. Without this option that is done only for the requests of
    /// Aurora's webhook, which sends ISO-8859-1 without naming it: those with a Timestamp header in
    /// epoch milliseconds.
    #[arg(long, requires = "listen")]
    pub(crate) latin1: bool,

    /// The longest body of several events; maxEventBytes of the configuration bounds each event
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    pub(crate) max_body: usize,

    /// The memory for events of all requests together
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    pub(crate) max_in_flight: usize,

    /// The longest head of a request, at least 8KiB
    #[arg(long, value_name = "BYTES", default_value = "16KiB", value_parser = parse_head)]
    pub(crate) max_head: usize,

    /// The largest number of header fields of a request
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) max_headers: usize,

    /// The largest number of connections; one more waits until one of them ends
    ///
    /// While one waits, connections close after their responses, and one that has been idle for a
    /// second, or whose request is behind --min-rate by a second, is closed.
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = at_least_one)]
    pub(crate) max_connections: usize,

    /// How long a peer may take to send a request's head
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) head_timeout: Duration,

    /// How long a peer may take to send an event
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) body_timeout: Duration,

    /// The rate, in bytes a second, below which a request gives way to others that wait
    ///
    /// Without others that wait for a connection or for memory, it may be as slow as --body-timeout
    /// allows.
    #[arg(long, value_name = "BYTES", default_value = "64KiB", value_parser = parse_bytes)]
    pub(crate) min_rate: usize,

    /// How long a connection may be idle
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = parse_duration)]
    pub(crate) idle_timeout: Duration,

    /// How long a request waits for the disk before it gets 504
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) sync_timeout: Duration,
}

/// The least that the HTTP library supports.
const LEAST_HEAD: usize = 8 * 1024;

fn parse_head(text: &str) -> Result<usize, String> {
    let bytes = parse_bytes(text)?;
    if bytes < LEAST_HEAD {
        return Err("write a size of at least 8KiB".to_owned());
    }
    Ok(bytes)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("write a number of at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}
