//! Converts a target's headers.

use super::context::Context;
use crate::delivery::Format;
use crate::diagnostic::Code;
use crate::file::mirror::{HeaderFile, HeadersFile};
use crate::file::object::shorten;
use crate::file::read::Reader;
use crate::header::{Header, InvalidHeader, check_name};
use crate::json::Span;
use crate::secret::looks_secret;

/// Converts the headers of requests whose bodies have this format, if they have bodies.
pub(super) fn convert_headers(
    file: HeadersFile,
    format: Option<Format>,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<Vec<Header>> {
    let mut headers = Vec::new();
    let mut is_whole = true;
    for HeaderFile { key, span, value } in file.headers {
        let name = shorten(&key.text);
        if let Err(error) = check_name(&key.text) {
            let (code, help) = match error {
                InvalidHeader::Refused => (Code::RefusedHeader, "remove it".to_owned()),
                _ => (Code::InvalidHeaderName, error.to_string()),
            };
            let message = match error {
                InvalidHeader::Refused => {
                    format!("header `{name}` is set by the HTTP client itself")
                }
                _ => format!("`{name}` cannot be the name of a header"),
            };
            reader.error(code, &key.span, message, help);
            is_whole = false;
            continue;
        }
        let Some(secret) = value else {
            let message = format!("header `{name}` is null");
            let help = "give it a value, \"\" if it is to be empty, or remove it";
            reader.error(Code::WrongType, &span, message, help);
            is_whole = false;
            continue;
        };
        let Some(resolved) = context.surroundings.secret(&secret, reader) else {
            is_whole = false;
            continue;
        };
        if looks_secret(&key.text, &resolved.text) {
            context
                .surroundings
                .warn_if_exposed(&format!("header `{name}`"), &secret, reader);
        }
        match Header::new(&key.text, &resolved.text, resolved.source) {
            Ok(header) => {
                warn_of_header(&header, format, &secret.span, reader);
                headers.push(header);
            }
            Err(error) => {
                let message = format!("header `{name}` has a value that cannot be sent");
                let code = Code::InvalidHeaderValue;
                reader.error(code, &secret.span, message, error.to_string());
                is_whole = false;
            }
        }
    }
    is_whole.then_some(headers)
}

fn warn_of_header(header: &Header, format: Option<Format>, span: &Span, reader: &mut Reader) {
    let name = shorten(header.written_name());
    if header.is_changed() {
        let message = format!("header `{name}` is not sent as written");
        let help = "HTTP carries one line of Latin-1: other characters are sent as `?`, control \
                    characters and line breaks as a blank";
        reader.warning(Code::ChangedHeaderValue, span, message, help);
    }
    if header.name() == http::header::CONTENT_TYPE
        && let Some(format) = format
    {
        let value = header.text().to_ascii_lowercase();
        let charset = value
            .split_once("charset=")
            .map(|(_, charset)| charset.trim_matches(['"', ' ']));
        if charset.is_some_and(|charset| !charset.starts_with("utf-8")) {
            let message = "the header names a charset, but the body is UTF-8";
            let help = "remove the charset, or write charset=utf-8";
            reader.warning(Code::ContentTypeCharset, span, message, help);
        }
        if format.contradicts(&value) {
            let name = format.name();
            let message = format!("the header names another type than the format {name:?} has");
            let help = format!("remove it: {} is sent without it", format.content_type());
            reader.warning(Code::ContentTypeFormat, span, message, help);
        }
    }
}
