//! Converts a URL, and hides the secrets in it.

use super::context::Context;
use crate::file::mirror::{SecretFile, SecretFrom, UrlText};
use crate::file::read::{Reader, Spanned};
use crate::file::url_check;
use crate::json::Span;
use crate::url::{TargetUrl, secret_parts};

/// Converts the URL of this key. `credentials` says what to use in place of a user name and password in it.
pub(super) fn convert_url(
    url: UrlText,
    key: &str,
    credentials: &str,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<TargetUrl> {
    match url {
        UrlText::Literal(text) => {
            hide_userinfo(&text, context, reader);
            hide_tokens(&text, key, context, reader);
            url_check::target_url(&text, raw(&text.span, context), credentials, reader)
        }
        UrlText::Reference(secret) => {
            let resolved = context.surroundings.secret(&secret, reader)?;
            url_check::secret_target_url(&resolved.text, &secret.span, reader)
        }
    }
}

/// The text of the file at a place.
pub(super) fn raw<'a>(span: &Span, context: &Context<'a>) -> &'a str {
    context.text.get(span.clone()).unwrap_or_default()
}

/// Masks the user name and password of a URL, which end at the last `@`.
pub(super) fn hide_userinfo(url: &Spanned<String>, context: &Context<'_>, reader: &mut Reader) {
    let raw = raw(&url.span, context);
    // With escapes in the text, its `@` cannot be located, and all of the text stays masked.
    if !raw.contains('\\')
        && let Some(end) = raw.rfind('@')
    {
        let start = raw.find("//").map_or(1, |at| at + 2).min(end);
        reader.show_at(&url.span);
        reader
            .hidden
            .push(url.span.start + start..url.span.start + end);
    }
}

/// Masks the parts of the URL of this key that look like tokens.
pub(super) fn hide_tokens(
    url: &Spanned<String>,
    key: &str,
    context: &Context<'_>,
    reader: &mut Reader,
) {
    let parts = secret_parts(&url.value);
    if parts.is_empty() {
        return;
    }
    let raw = raw(&url.span, context);
    if raw.get(1..raw.len().saturating_sub(1)) == Some(url.value.as_str()) {
        let start = url.span.start + 1;
        let places = parts
            .iter()
            .map(|part| start + part.start..start + part.end);
        reader.hidden.extend(places);
    } else {
        // With escapes in the text, the parts cannot be located.
        reader.hidden.push(url.span.clone());
    }
    let secret = SecretFile {
        span: url.span.clone(),
        from: SecretFrom::Literal(url.value.clone()),
    };
    context
        .surroundings
        .warn_if_exposed(&format!("the token in `{key}`"), &secret, reader);
}
