//! The certificates that a target's TLS connections trust and present.

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;

/// The certificates that a target's TLS connections trust and present. By default they trust the
/// public authorities and present none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    ca: Option<Vec<u8>>,
    client: Option<ClientIdentity>,
}

/// A client certificate and its key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Why a text is not the PEM that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPem {
    /// It has no readable certificate.
    #[error("it contains no PEM certificate (-----BEGIN CERTIFICATE-----)")]
    Certificate,
    /// It has no readable private key.
    #[error("it contains no PEM private key (-----BEGIN PRIVATE KEY-----, unencrypted)")]
    Key,
}

impl Tls {
    /// Trusts these authorities instead of the public ones.
    ///
    /// # Errors
    /// When `pem` has no certificate, or one that cannot be read.
    pub fn with_ca(mut self, pem: impl Into<Vec<u8>>) -> Result<Self, InvalidPem> {
        let pem = pem.into();
        check_certificates(&pem)?;
        self.ca = Some(pem);
        Ok(self)
    }

    /// Presents this client certificate.
    #[must_use]
    pub fn with_client(mut self, client: ClientIdentity) -> Self {
        self.client = Some(client);
        self
    }

    /// The authorities to trust instead of the public ones, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&[u8]> {
        self.ca.as_deref()
    }

    /// The client certificate that is presented to the receiver.
    #[must_use]
    pub fn client(&self) -> Option<&ClientIdentity> {
        self.client.as_ref()
    }

    /// Whether nothing was set.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.ca.is_none() && self.client.is_none()
    }
}

impl ClientIdentity {
    /// An identity of a certificate, its chain after it, and its key.
    ///
    /// # Errors
    /// When either cannot be read. Whether they belong together is not checked.
    pub fn new(
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Result<Self, InvalidPem> {
        let (certificate, key) = (certificate.into(), key.into());
        check_certificates(&certificate)?;
        check_key(&key)?;
        Ok(ClientIdentity { certificate, key })
    }

    /// The certificate and its chain, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &[u8] {
        &self.certificate
    }

    /// The private key, PEM.
    #[must_use]
    pub fn key_pem(&self) -> &[u8] {
        &self.key
    }
}

/// Checks that there is at least one certificate, and that all can be read.
pub(crate) fn check_certificates(pem: &[u8]) -> Result<(), InvalidPem> {
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        certificate.map_err(|_| InvalidPem::Certificate)?;
        found = true;
    }
    if found {
        Ok(())
    } else {
        Err(InvalidPem::Certificate)
    }
}

/// Checks that there is a private key, not encrypted.
pub(crate) fn check_key(pem: &[u8]) -> Result<(), InvalidPem> {
    PrivateKeyDer::from_pem_slice(pem)
        .map(|_| ())
        .map_err(|_| InvalidPem::Key)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("client", &self.client.is_some())
            .finish()
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity").finish_non_exhaustive()
    }
}
