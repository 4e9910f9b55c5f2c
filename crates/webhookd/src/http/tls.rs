//! TLS of a listener: its certificate and key.

use anyhow::{Context, Result, bail};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;

/// Bytes of a file of certificates or a key, at most.
const MAX_FILE: u64 = 1 << 20;

/// A certificate with its key. The files are read at the start and by each
/// [`reload`](ServerTls::reload); connections that are open keep theirs.
#[derive(Debug)]
pub(crate) struct ServerTls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
}

impl ServerTls {
    /// Reads the files, both in PEM. The certificate is followed by those that lead to its
    /// authority.
    ///
    /// # Errors
    /// A file cannot be read or holds something else, or the key is of another certificate.
    pub(crate) fn open(certificate: &Path, key: &Path) -> Result<ServerTls> {
        Ok(ServerTls {
            current: RwLock::new(read(certificate, key)?),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        })
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// As [`open`](ServerTls::open); the certificate in force stays.
    pub(crate) fn reload(&self) -> Result<()> {
        let read = read(&self.certificate, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let chain = certificates(certificate)?;
    let shown = certificate.display();
    let private = PrivateKeyDer::from_pem_slice(&bytes(key)?)
        .with_context(|| format!("{} holds no private key in PEM", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS cannot be used")?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("{} and {shown} cannot be used", key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificates of a file in PEM; at least one.
///
/// # Errors
/// The file cannot be read, or holds none.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let shown = path.display();
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes(path)?)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{shown} is not PEM"))?;
    if found.is_empty() {
        bail!("{shown} holds no certificate in PEM");
    }
    Ok(found)
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let failed = || format!("cannot read {}", path.display());
    webhook_config::read_file(path, MAX_FILE).with_context(failed)
}
