//! Checks URLs and reports what is wrong with them, and where.

use super::read::{Reader, Spanned};
use crate::diagnostic::Code;
use crate::json::Span;
use crate::proxy::{InvalidProxy, ProxyUrl};
use crate::url::{InvalidUrl, TargetUrl, masked};

/// Reads the URL of a target, and reports errors and warnings. `credentials` says what to use in place of a
/// user name and password in it.
pub(crate) fn target_url(
    text: &Spanned<String>,
    raw: &str,
    credentials: &str,
    reader: &mut Reader,
) -> Option<TargetUrl> {
    let url = match TargetUrl::parse(&text.value) {
        Ok(url) => url,
        Err(error) => {
            report(&error, text, raw, reader);
            return None;
        }
    };
    if url.has_odd_host() {
        let message = "the host has a character that no host name has";
        let help = "is a variable not expanded, or a second host added?";
        reader.warning(Code::OddHost, &text.span, message, help);
    }
    if url.had_userinfo() {
        let message = "the user name and password of the URL are not sent";
        reader.warning(Code::UrlCredentials, &text.span, message, credentials);
    } else if url.written() != text.value {
        let message = format!("requested as {url}");
        let help = "write it like that";
        reader.warning(Code::ChangedUrl, &text.span, message, help);
    } else if !url.written().is_ascii() {
        let message = format!("requested as {}", masked(&url.as_uri().to_string()));
        reader.warning(Code::ChangedUrl, &text.span, message, "write it like that");
    }
    Some(url)
}

/// Reports why a text is not a URL, and where.
pub(crate) fn report(error: &InvalidUrl, text: &Spanned<String>, raw: &str, reader: &mut Reader) {
    let (span, help) = place_and_help(error, text, raw);
    reader.error(Code::InvalidUrl, &span, message(error), help);
}

/// Reads the URL of a target from the environment or a file, and reports errors at the reference.
pub(crate) fn secret_target_url(
    text: &str,
    reference: &Span,
    reader: &mut Reader,
) -> Option<TargetUrl> {
    match TargetUrl::parse(text) {
        Ok(url) => Some(url.into_secret()),
        Err(error) => {
            let what = format!("not a URL that can be requested: {error}");
            let help = "the variable or file holds the URL and no more";
            reader.error(Code::InvalidUrl, reference, what, help);
            None
        }
    }
}

/// Reads the URL of a proxy, and reports errors.
pub(crate) fn proxy_url(
    text: &Spanned<String>,
    raw: &str,
    reader: &mut Reader,
) -> Option<ProxyUrl> {
    match ProxyUrl::parse(&text.value) {
        Ok(url) => Some(url),
        Err(InvalidProxy::Url(error)) => {
            report(&error, text, raw, reader);
            None
        }
        Err(error) => {
            let help = "such as http://proxy.example.com:3128";
            reader.error(Code::InvalidUrl, &text.span, error.to_string(), help);
            None
        }
    }
}

/// The message of an error, without the offset, which the place shows.
fn message(error: &InvalidUrl) -> String {
    match error {
        InvalidUrl::Character(_) => "a character that a URL cannot contain there".to_owned(),
        InvalidUrl::Escape(_) => "`%` without two hexadecimal digits".to_owned(),
        other => other.to_string(),
    }
}

fn place_and_help(error: &InvalidUrl, text: &Spanned<String>, raw: &str) -> (Span, &'static str) {
    let span = match error {
        InvalidUrl::Character(at) | InvalidUrl::Escape(at) => within(text, raw, *at),
        _ => text.span.clone(),
    };
    let help = match error {
        InvalidUrl::TooLong => "shorten it",
        InvalidUrl::Character(_) => "percent-encode it: a blank is %20",
        InvalidUrl::Escape(_) => "a percent sign itself is written %25",
        InvalidUrl::NotAbsolute => "such as http://localhost:5000/",
        InvalidUrl::Scheme => "use http:// or https://",
        InvalidUrl::NoHost => "put the host after the //",
        InvalidUrl::Host => "such as example.com, 192.0.2.1 or [2001:db8::1]",
        InvalidUrl::Port => "put the port after the host, as in http://localhost:5000/",
    };
    (span, help)
}

/// The place of the character at `offset` in the text. If the file has escapes in the text, the
/// place of the whole text.
fn within(text: &Spanned<String>, raw: &str, offset: usize) -> Span {
    let start = text.span.start + 1 + offset;
    let unescaped = raw.get(1..raw.len().saturating_sub(1)) == Some(text.value.as_str());
    match text
        .value
        .get(offset..)
        .and_then(|rest| rest.chars().next())
    {
        Some(c) if unescaped => start..start + c.len_utf8(),
        _ => text.span.clone(),
    }
}
