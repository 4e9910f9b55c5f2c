//! TLS of connections to the database.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::settings::{Settings, SslMode};

/// The TLS configuration, unless connections are not encrypted. An error says what is wrong with the
/// certificates.
pub(crate) fn config(
    settings: &Settings,
    ssl_mode: SslMode,
) -> Result<Option<ClientConfig>, String> {
    if ssl_mode == SslMode::Disable {
        return Ok(None);
    }
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(roots(settings.ca_pem.as_deref())?);
    let verifier: Arc<dyn ServerCertVerifier> = match ssl_mode {
        SslMode::VerifyFull | SslMode::VerifyCa => {
            let checked = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
            let checked = checked.build().map_err(|error| error.to_string())?;
            match ssl_mode {
                SslMode::VerifyFull => checked,
                _ => Arc::new(AnyName(checked)),
            }
        }
        _ => Arc::new(AnyCertificate(provider.clone())),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &settings.client_pem {
        None => builder.with_no_client_auth(),
        Some((certificates, key)) => {
            let certificates = parse(certificates, "the client's certificate")?;
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|error| format!("the key of the client's certificate: {error}"))?;
            let identity = builder.with_client_auth_cert(certificates, key);
            identity.map_err(|error| format!("the client's certificate: {error}"))?
        }
    };
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Some(config))
}

fn roots(pem: Option<&[u8]>) -> Result<RootCertStore, String> {
    let Some(pem) = pem else {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        return Ok(RootCertStore {
            roots: roots.collect(),
        });
    };
    let mut roots = RootCertStore::empty();
    for certificate in parse(pem, "a trusted certificate")? {
        let added = roots.add(certificate);
        added.map_err(|error| format!("a trusted certificate: {error}"))?;
    }
    Ok(roots)
}

fn parse(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(format!("{what}: there is none")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

/// `verify-ca`: a certificate of a trusted authority, for any name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is checked last.
        match self
            .0
            .verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
        {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// `prefer` and `require`: any certificate, but a connection that only its owner can read.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = self.0.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
