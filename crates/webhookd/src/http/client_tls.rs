//! TLS to a listener of another webhookd.

use super::tls::certificates;
use anyhow::{Context, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The authorities whose certificates are accepted.
#[derive(Clone, Debug)]
pub(crate) struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Trusts the authorities in a file, in PEM, and no others.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate of an authority.
    pub(crate) fn trusting(authorities: &Path) -> Result<ClientTls> {
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates(authorities)?);
        anyhow::ensure!(
            added > 0,
            "{} holds no certificate of an authority",
            authorities.display()
        );
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS cannot be used")?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(ClientTls(Arc::new(config)))
    }

    /// Makes the handshake with the server at `authority`, which is `HOST:PORT`.
    ///
    /// # Errors
    /// The certificate is not accepted, or the connection ends.
    pub(crate) async fn connect(
        &self,
        authority: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>> {
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = ServerName::try_from(host).context("the host has no valid name")?;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        connector.connect(name, stream).await.context("TLS")
    }
}
