//! Who answers operators, and whom.

use super::guard::Guard;
use crate::auth::Tokens;
use crate::http::{Listener, listen};
use anyhow::{Context, Result};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// Whom to answer
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Operators")]
pub(crate) struct AdminArgs {
    /// Answer operators on this address: PORT is 127.0.0.1:PORT, and port 0 picks a free one
    ///
    /// Metrics for Prometheus, probes, and an API to look and to repair. The Unix socket admin.sock
    /// in the queue's directory answers the same to this user alone. `systemd` is every socket that
    /// systemd passes as `admin`, `fd:NAME` one passed under another name.
    #[arg(long, value_name = "[HOST:]PORT")]
    admin: Option<String>,

    /// Want this file's content as bearer token of every request to --admin but /livez and /readyz
    ///
    /// It is read for each request, so that it can be exchanged at any time.
    #[arg(long, value_name = "FILE", requires = "admin")]
    admin_token_file: Option<PathBuf>,

    /// Answer to this name, too, when a request's Host names it
    ///
    /// Else only localhost and the address itself are answered to: a page that somebody else's name
    /// server leads to this address must learn nothing.
    #[arg(long, value_name = "NAME", requires = "admin")]
    admin_host: Vec<String>,
}

impl AdminArgs {
    /// Where to listen, and what to refuse there.
    pub(super) fn open(&self) -> Result<Vec<(Listener, Guard)>> {
        let Some(address) = &self.admin else {
            return Ok(Vec::new());
        };
        if let Some(file) = &self.admin_token_file {
            Tokens::read_one(file).context("--admin-token-file")?;
        }
        let passed = address == "systemd" || address.starts_with("fd:");
        let listeners = if passed || address.contains(':') {
            listen(address, "--admin", "admin")?
        } else {
            vec![Listener::bind(&format!("127.0.0.1:{address}"), "--admin")?]
        };
        listeners
            .into_iter()
            .map(|listener| {
                let guard = self.guard(&listener)?;
                Ok((listener, guard))
            })
            .collect()
    }

    fn guard(&self, listener: &Listener) -> Result<Guard> {
        let bound = match listener {
            Listener::Tcp(listener) => listener.local_addr()?.ip(),
            // Whoever made it decided on its mode, and may want a token besides.
            Listener::Unix(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let is_open = matches!(listener, Listener::Unix(_)) || !bound.is_loopback();
        if is_open && self.admin_token_file.is_none() {
            tracing::warn!(
                "whoever reaches {listener} can see and change everything: give --admin a \
                 --admin-token-file, or an address of this machine alone"
            );
        }
        Ok(Guard::at(
            bound,
            self.admin_host.clone(),
            self.admin_token_file.clone(),
        ))
    }
}
