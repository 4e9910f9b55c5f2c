//! Converts a target's signing secrets and certificates.

use super::context::{Context, opening, required};
use crate::diagnostic::Code;
use crate::file::mirror::{SigningFile, TlsFile};
use crate::file::read::{Reader, Slot, Text};
use crate::json::Span;
use crate::signing::{Signing, SigningSecret};
use crate::tls::{self, ClientIdentity, Tls};

pub(super) fn convert_signing(
    file: SigningFile,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<Signing> {
    let list = required(
        file.secrets,
        "secrets",
        "a list of secrets",
        &opening(&file.span),
        context,
        reader,
    )?;
    let mut secrets = Vec::new();
    for secret in &list.value {
        let Some(resolved) = context.surroundings.secret(secret, reader) else {
            continue;
        };
        context
            .surroundings
            .warn_if_exposed("a signing secret", secret, reader);
        match SigningSecret::parse(&resolved.text) {
            Ok(secret) => secrets.push(secret),
            Err(error) => {
                let message = format!("not a signing secret: {error}");
                let help = "make one: echo \"whsec_$(head -c 32 /dev/urandom | base64)\"";
                reader.error(Code::InvalidSigningSecret, &secret.span, message, help);
            }
        }
    }
    if list.value.is_empty() {
        let message = "`secrets` is empty";
        let help = "add a secret, or remove `signing`";
        reader.error(Code::MissingKey, &list.span, message, help);
    }
    Signing::new(secrets).ok()
}

pub(super) fn convert_tls(file: TlsFile, context: &Context<'_>, reader: &mut Reader) -> Tls {
    let mut tls = Tls::default();
    if let Some(Text(path)) = file.ca_file.as_given()
        && let Some(pem) = context.surroundings.file_text(path, reader)
    {
        match Tls::default().with_ca(pem) {
            Ok(with_ca) => tls = with_ca,
            Err(error) => invalid_pem(&path.span, &error, reader),
        }
    }
    if let (Some(_), Some(key)) = (file.client_key_file.as_given(), file.client_key.as_given()) {
        let message = "`clientKey` and `clientKeyFile` exclude each other";
        reader.error(
            Code::ConflictingKeys,
            &key.span,
            message,
            "remove one of them",
        );
        return tls;
    }
    let certificate = file.client_cert_file.as_given().map(|Text(path)| {
        let pem = context.surroundings.file_text(path, reader);
        let check = |pem: &String| tls::check_certificates(pem.as_bytes());
        checked(pem, check, &path.span, reader)
    });
    let key = match (&file.client_key_file, &file.client_key) {
        (Slot::Given(Text(path)), _) => {
            let pem = context.surroundings.file_text(path, reader);
            Some(checked(
                pem,
                |pem| tls::check_key(pem.as_bytes()),
                &path.span,
                reader,
            ))
        }
        (_, Slot::Given(secret)) => {
            context
                .surroundings
                .warn_if_exposed("a private key", secret, reader);
            let pem = context
                .surroundings
                .secret(secret, reader)
                .map(|resolved| resolved.text);
            Some(checked(
                pem,
                |pem| tls::check_key(pem.as_bytes()),
                &secret.span,
                reader,
            ))
        }
        _ => None,
    };
    match (certificate, key) {
        (Some(Some(certificate)), Some(Some(key))) => {
            if let Ok(client) = ClientIdentity::new(certificate, key) {
                tls = tls.with_client(client);
            }
        }
        (Some(_), None) | (None, Some(_)) => {
            let message = "a client certificate and its key must be given together";
            let help = "set `clientCertFile` and `clientKeyFile`";
            reader.error(Code::IncompleteKeys, &opening(&file.span), message, help);
        }
        _ => {}
    }
    tls
}

/// The PEM if `check` accepts it; otherwise the error is reported.
fn checked(
    pem: Option<String>,
    check: impl Fn(&String) -> Result<(), tls::InvalidPem>,
    span: &Span,
    reader: &mut Reader,
) -> Option<String> {
    let pem = pem?;
    match check(&pem) {
        Ok(()) => Some(pem),
        Err(error) => {
            invalid_pem(span, &error, reader);
            None
        }
    }
}

fn invalid_pem(span: &Span, error: &tls::InvalidPem, reader: &mut Reader) {
    reader.error(Code::InvalidPem, span, error.to_string(), "");
}
