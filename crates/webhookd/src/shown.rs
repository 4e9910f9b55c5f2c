//! What `webhookd send` and the admin API show of a request: secrets are masked unless they are asked
//! for.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{Result, Write};
use webhook_config::{SecretMask, Target};

/// A target whose requests are shown.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) target: &'a Target,
    pub(crate) secrets: bool,
}

/// A request that was sent, or would be.
#[derive(Clone, Copy)]
pub(crate) struct Sent<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// The same with the secrets of the target's template masked.
    pub(crate) masked_body: &'a [u8],
}

#[derive(Serialize)]
pub(crate) struct JsonRequest<'a> {
    headers: Vec<JsonHeader<'a>>,
    body: Cow<'a, str>,
}

#[derive(Serialize)]
struct JsonHeader<'a> {
    name: &'a str,
    value: Cow<'a, str>,
}

impl<'a> Shown<'a> {
    /// Writes the request as text.
    pub(crate) fn write_text(&self, out: &mut impl Write, sent: Sent<'_>) -> Result<()> {
        writeln!(out, "{} {}", self.target.method().name(), self.url())?;
        if let Some(proxy) = self.target.proxy() {
            writeln!(out, "through the proxy {proxy}")?;
        }
        for (name, value) in sent.headers {
            writeln!(out, "> {name}: {}", printable(&self.header(name, value)))?;
        }
        writeln!(out, ">")?;
        lines(out, '>', &self.body(sent))
    }

    pub(crate) fn request<'s>(&self, sent: Sent<'s>) -> JsonRequest<'s>
    where
        'a: 's,
    {
        let headers = self.headers(sent);
        JsonRequest {
            headers: headers
                .map(|(name, value)| JsonHeader { name, value })
                .collect(),
            body: self.body(sent),
        }
    }

    /// The headers, by name and value.
    pub(crate) fn headers<'s>(
        &self,
        sent: Sent<'s>,
    ) -> impl Iterator<Item = (&'s str, Cow<'s, str>)>
    where
        'a: 's,
    {
        let shown = *self;
        let headers = sent.headers.iter();
        headers.map(move |(name, value)| (name.as_str(), shown.header(name, value)))
    }

    /// A text of the receiver, which may repeat the secrets of the request.
    pub(crate) fn answer(&self, text: &[u8]) -> String {
        let text = String::from_utf8_lossy(text);
        match self.secrets {
            true => text.into_owned(),
            false => SecretMask::of(self.target).apply(&text).into_owned(),
        }
    }

    pub(crate) fn url(&self) -> String {
        let url = self.target.url();
        match self.secrets {
            true => url.as_uri().to_string(),
            false => url.to_string(),
        }
    }

    /// The body, as text.
    pub(crate) fn body<'s>(&self, sent: Sent<'s>) -> Cow<'s, str> {
        String::from_utf8_lossy(match self.secrets {
            true => sent.body,
            false => sent.masked_body,
        })
    }

    fn header<'s>(&self, name: &HeaderName, value: &'s HeaderValue) -> Cow<'s, str>
    where
        'a: 's,
    {
        let mut headers = self.target.header_list().iter();
        let of_the_target = headers.find(|header| header.name() == name && header.value() == value);
        match of_the_target {
            Some(header) if !self.secrets => Cow::Borrowed(header.shown()),
            _ => String::from_utf8_lossy(value.as_bytes()),
        }
    }
}

/// Writes a text, with a mark before each line.
pub(crate) fn lines(out: &mut impl Write, mark: char, text: &str) -> Result<()> {
    for line in text.lines() {
        writeln!(out, "{mark} {}", printable(line))?;
    }
    Ok(())
}

/// Escapes control characters: the text may come from the receiver.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}
