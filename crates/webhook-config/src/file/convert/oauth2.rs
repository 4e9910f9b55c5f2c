//! Converts a target's OAuth 2.0 client credentials.

use super::context::{Context, opening, required};
use super::url::convert_url;
use crate::diagnostic::Code;
use crate::file::mirror::{OAuth2File, UrlText};
use crate::file::read::{Reader, Text};
use crate::oauth2::OAuth2;
use crate::url::TargetUrl;

pub(super) fn convert_oauth2(
    file: OAuth2File,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<OAuth2> {
    let brace = opening(&file.span);
    let url = required(
        file.token_url,
        "tokenURL",
        "a URL such as \"https://login.example.com/oauth2/token\"",
        &brace,
        context,
        reader,
    );
    let url = url.and_then(|url| token_url(url, context, reader));
    let what = "the id that the authorization server gave to this client";
    let id = required(file.client_id, "clientId", what, &brace, context, reader);
    let what = "a secret: a string, {\"env\": NAME} or {\"file\": PATH}";
    let secret = required(
        file.client_secret,
        "clientSecret",
        what,
        &brace,
        context,
        reader,
    );
    let secret = secret.and_then(|secret| {
        let surroundings = context.surroundings;
        surroundings.warn_if_exposed("a client secret", &secret, reader);
        Some((surroundings.secret(&secret, reader)?.text, secret.span))
    });
    let (url, Text(id), (secret, secret_span)) = (url?, id?, secret?);
    let invalid = |span, error: crate::InvalidOAuth2, reader: &mut Reader| {
        reader.error(Code::InvalidOAuth2, span, error.to_string(), "");
    };
    let at = if id.value.is_empty() {
        &id.span
    } else {
        &secret_span
    };
    let mut oauth2 = OAuth2::new(url, id.value, secret)
        .inspect_err(|error| invalid(at, error.clone(), reader))
        .ok()?
        .with_audience(file.audience.given().map(|Text(audience)| audience.value));
    if let Some(scopes) = file.scopes.given() {
        let texts = scopes.value.into_iter().map(|Text(scope)| scope.value);
        oauth2 = oauth2
            .with_scopes(texts.collect())
            .inspect_err(|error| invalid(&scopes.span, error.clone(), reader))
            .ok()?;
    }
    Some(oauth2)
}

fn token_url(text: UrlText, context: &Context<'_>, reader: &mut Reader) -> Option<TargetUrl> {
    let span = text.span().clone();
    let credentials = "remove them: `clientId` and `clientSecret` are sent";
    let url = convert_url(text, "tokenURL", credentials, context, reader)?;
    if url.is_plain() && !url.is_loopback() {
        let message = "the client secret is sent in clear text: `tokenURL` is not https";
        let help = "use https: RFC 6749 demands it of every token endpoint";
        reader.warning(Code::UnencryptedSecret, &span, message, help);
    }
    Some(url)
}
