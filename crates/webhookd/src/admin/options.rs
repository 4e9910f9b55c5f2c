//! The options of the admin API.

use super::guard::{Guard, TokenFiles};
use crate::auth::Tokens;
use crate::http::{Listener, ServerTls, listen};
use anyhow::{Context, Result, bail};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the path of a Unix socket follows.
pub(super) const UNIX: &str = "unix:";

/// The admin API
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Admin API")]
pub(crate) struct AdminArgs {
    /// Serve the admin API on this address: PORT is 127.0.0.1:PORT, and port 0 picks a free one
    ///
    /// It has metrics for Prometheus, probes, and endpoints to inspect and repair. The Unix socket
    /// admin.sock in the queue's directory serves the same to this user only. `systemd` stands for
    /// every socket that systemd passes as `admin`, `fd:NAME` for one passed under another name, and
    /// `unix:PATH` for a Unix socket at a path, which this user alone can open.
    #[arg(long, value_name = "[HOST:]PORT")]
    admin: Option<String>,

    /// Require the content of this file as bearer token, except for /livez and /readyz
    ///
    /// The page's own files need no token, either. The file is read for each request, so that the token
    /// can be replaced at any time.
    #[arg(long, value_name = "FILE", requires = "admin")]
    admin_token_file: Option<PathBuf>,

    /// Allow reading, and no change, to requests with the content of this file as bearer token
    ///
    /// For dashboards and users who only read. A change gets 403. The file is read for each request, too.
    #[arg(long, value_name = "FILE", requires = "admin_token_file")]
    admin_readonly_token_file: Option<PathBuf>,

    /// Serve the admin API over TLS, with the certificate in this file, in PEM
    ///
    /// The certificates that lead to its authority follow it. A reload reads the file again.
    #[arg(
        long,
        value_name = "FILE",
        requires = "admin",
        requires = "admin_tls_key"
    )]
    admin_tls_cert: Option<PathBuf>,

    /// The private key of --admin-tls-cert, in PEM
    #[arg(long, value_name = "FILE", requires = "admin_tls_cert")]
    admin_tls_key: Option<PathBuf>,

    /// Accept requests whose Host is this name, too
    ///
    /// Otherwise Host must be localhost or the address itself: a web page whose name was made to
    /// resolve to this address (DNS rebinding) must not reach the API.
    #[arg(long, value_name = "NAME", requires = "admin")]
    admin_host: Vec<String>,
}

impl AdminArgs {
    /// Whether it is a Unix socket of this program.
    fn is_unix(&self) -> bool {
        let address = self.admin.as_ref();
        address.is_some_and(|address| address.starts_with(UNIX))
    }

    /// Opens the listeners, each with its guard.
    ///
    /// # Errors
    /// The address is not valid or in use, or the token cannot be read.
    pub(super) fn open(&self) -> Result<Vec<(Listener, Guard)>> {
        let Some(address) = &self.admin else {
            return Ok(Vec::new());
        };
        if let Some(file) = &self.admin_token_file {
            let write = Tokens::read_one(file).context("--admin-token-file")?;
            if let Some(file) = &self.admin_readonly_token_file {
                let read = Tokens::read_one(file).context("--admin-readonly-token-file")?;
                if read == write {
                    bail!(
                        "--admin-readonly-token-file and --admin-token-file hold the same token; \
                         use two"
                    );
                }
            }
        }
        let passed = address == "systemd" || address.starts_with("fd:");
        let listeners = if let Some(path) = address.strip_prefix(UNIX) {
            vec![Listener::bind_path(Path::new(path)).context("--admin")?]
        } else if passed || address.contains(':') {
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

    /// The certificate and key, read from their files.
    ///
    /// # Errors
    /// They cannot be used.
    pub(crate) fn tls(&self) -> Result<Option<Arc<ServerTls>>> {
        let (Some(certificate), Some(key)) = (&self.admin_tls_cert, &self.admin_tls_key) else {
            return Ok(None);
        };
        let tls = ServerTls::open(certificate, key).context("--admin-tls-cert")?;
        Ok(Some(Arc::new(tls)))
    }

    /// Where a listener is, for the log.
    pub(super) fn shown(&self, listener: &Listener) -> String {
        let address = self.admin.as_deref().unwrap_or_default();
        if self.is_unix() {
            return address.to_owned();
        }
        let shown = listener.to_string();
        match &self.admin_tls_cert {
            Some(_) => shown.replacen("http://", "https://", 1),
            None => shown,
        }
    }

    fn guard(&self, listener: &Listener) -> Result<Guard> {
        if matches!(listener, Listener::Unix(_)) && self.admin_tls_cert.is_some() {
            bail!("--admin-tls-cert is for an address; a Unix socket has no TLS");
        }
        let bound = match listener {
            Listener::Tcp(listener) => listener.local_addr()?.ip(),
            // Its permissions were set by the program that made it; a token may be required, too.
            Listener::Unix(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let is_passed = matches!(listener, Listener::Unix(_)) && !self.is_unix();
        let is_open = is_passed || !bound.is_loopback();
        if is_open && self.admin_token_file.is_none() {
            tracing::warn!(
                "the admin API on {listener} is open to all that can connect: set \
                 --admin-token-file, or an address of this machine only"
            );
        }
        Ok(Guard::at(
            bound,
            self.admin_host.clone(),
            TokenFiles {
                write: self.admin_token_file.clone(),
                read: self.admin_readonly_token_file.clone(),
            },
        ))
    }
}
