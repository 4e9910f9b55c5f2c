//! The URLs that Aurora could request: the syntax of `java.net.URI`, then the interpretation of
//! async-http-client.

use super::integer;
use std::net::Ipv6Addr;

/// The parts of a URL, as async-http-client split it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RequestUri {
    /// In lower case.
    pub(crate) scheme: String,
    pub(crate) has_userinfo: bool,
    /// As written; an IPv6 address has its brackets.
    pub(crate) host: String,
    pub(crate) port: Option<i32>,
    /// With dot segments resolved, and all but ASCII escaped; may be empty.
    pub(crate) path: String,
    /// Escaped in the same way.
    pub(crate) query: Option<String>,
}

/// Why Aurora could not request a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unrequestable {
    /// The character at this byte offset is not allowed there.
    Character(usize),
    /// The `%` at this byte offset is not followed by two hexadecimal digits.
    Escape(usize),
    NoScheme,
    NoHost,
    Port,
    Address,
}

const UNRESERVED: &str = "_-!.~'()*";

/// Splits a URL into its parts.
pub(crate) fn read(url: &str) -> Result<RequestUri, Unrequestable> {
    let has_prefix = url
        .get(..4)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case("url:"));
    check_syntax(url, has_prefix)?;
    // async-http-client skips it, as `java.net.URL` does.
    let url = if has_prefix { &url[4..] } else { url };
    let url = url.split_once('#').map_or(url, |(url, _fragment)| url);
    let (scheme, rest) = match url.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
        _ => return Err(Unrequestable::NoScheme),
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let rest = match rest.strip_prefix("//") {
        Some(rest) if !rest.starts_with("//") => rest,
        _ => return Err(Unrequestable::NoHost),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (has_userinfo, server) = match authority.split_once('@') {
        Some((_, server)) => (true, server),
        None => (false, authority),
    };
    let (host, port) = host_and_port(server)?;
    if host.is_empty() {
        return Err(Unrequestable::NoHost);
    }
    Ok(RequestUri {
        scheme,
        has_userinfo,
        host: host.to_owned(),
        port,
        path: escape(&resolve_dots(path), "[]"),
        query: query
            .filter(|query| !query.is_empty())
            .map(|query| escape(query, "[]")),
    })
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn host_and_port(server: &str) -> Result<(&str, Option<i32>), Unrequestable> {
    let (host, port) = if server.starts_with('[') {
        let end = server.find(']').ok_or(Unrequestable::Address)? + 1;
        let (host, port) = server.split_at(end);
        if port.is_empty() {
            (host, "")
        } else {
            (host, port.strip_prefix(':').ok_or(Unrequestable::Address)?)
        }
    } else {
        server.split_once(':').unwrap_or((server, ""))
    };
    if port.is_empty() {
        return Ok((host, None));
    }
    // async-http-client used -1 for "no port".
    match integer::parse(port) {
        Ok(-1) => Ok((host, None)),
        Ok(port) if port >= 0 => Ok((host, Some(port))),
        _ => Err(Unrequestable::Port),
    }
}

/// Refuses what `java.net.URI` refuses, for URLs with an authority.
fn check_syntax(url: &str, opaque: bool) -> Result<(), Unrequestable> {
    const QUERY: &str = ";/?:@&=+$,[]";
    const PATH: &str = ":@&=+$,;/";
    let (hierarchical, fragment) = match url.find('#') {
        Some(at) => (&url[..at], Some(at + 1)),
        None => (url, None),
    };
    if let Some(at) = fragment {
        check_characters(&url[at..], at, QUERY)?;
    }
    if opaque {
        return check_characters(&hierarchical[4..], 4, QUERY);
    }
    let path_start = match hierarchical.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => {
            let start = scheme.len() + 3;
            let end = start + rest.find(['/', '?']).unwrap_or(rest.len());
            check_authority(&hierarchical[start..end], start)?;
            end
        }
        _ => 0,
    };
    let query_start = hierarchical[path_start..]
        .find('?')
        .map(|at| path_start + at);
    let path_end = query_start.unwrap_or(hierarchical.len());
    check_characters(&hierarchical[path_start..path_end], path_start, PATH)?;
    match query_start {
        Some(at) => check_characters(&hierarchical[at + 1..], at + 1, QUERY),
        None => Ok(()),
    }
}

fn check_authority(authority: &str, start: usize) -> Result<(), Unrequestable> {
    const NAME: &str = "$,;:@&=+";
    let Some(open) = authority.find(['[', ']']) else {
        return check_characters(authority, start, NAME);
    };
    let before = &authority[..open];
    check_characters(before, start, NAME)?;
    let after = authority[open..]
        .strip_prefix('[')
        .ok_or(Unrequestable::Address)?;
    let (address, port) = after.split_once(']').ok_or(Unrequestable::Address)?;
    let is_address = address.parse::<Ipv6Addr>().is_ok();
    let is_server =
        before.is_empty() || (before.ends_with('@') && before.matches('@').count() == 1);
    let digits = port.strip_prefix(':').unwrap_or(port);
    let is_port = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (port.is_empty() || port.starts_with(':'));
    if is_address && is_server && is_port {
        Ok(())
    } else {
        Err(Unrequestable::Address)
    }
}

fn check_characters(part: &str, start: usize, also: &str) -> Result<(), Unrequestable> {
    for (at, c) in part.char_indices() {
        if c == '%' {
            let digits = part.as_bytes().get(at + 1..at + 3);
            if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                return Err(Unrequestable::Escape(start + at));
            }
        } else if !is_visible(c) && !UNRESERVED.contains(c) && !also.contains(c) {
            return Err(Unrequestable::Character(start + at));
        }
    }
    Ok(())
}

/// ASCII letters and digits, and all beyond ASCII but blanks and control characters.
fn is_visible(c: char) -> bool {
    // As Java's `isSpaceChar`, except for U+0085, which is a control character there.
    c.is_ascii_alphanumeric() || (!c.is_ascii() && !c.is_whitespace() && !c.is_control())
}

/// Percent-encodes all but ASCII, and the characters of `also`.
fn escape(text: &str, also: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && !also.contains(c) {
            escaped.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    escaped
}

/// Resolves `.` and `..` like async-http-client: as in RFC 3986, except that `/../a` at the root
/// stays.
fn resolve_dots(path: &str) -> String {
    if !path.contains('.') {
        return path.to_owned();
    }
    // A replacement does not overlap the one before, as in Java: "/././" keeps one.
    let mut path = path.replace("/./", "/");
    let mut from = 0;
    while let Some(at) = path[from..].find("/../").map(|at| from + at) {
        if at == 0 {
            from = 3;
            continue;
        }
        let Some(parent) = path[..at].rfind('/') else {
            break;
        };
        if parent == 0 && path.starts_with("/../") {
            break;
        }
        path.replace_range(parent..at + 3, "");
        from = 0;
    }
    while path.ends_with("/..") {
        let Some(parent) = path[..path.len() - 3].rfind('/') else {
            break;
        };
        path.truncate(parent + 1);
    }
    if path.ends_with("/.") {
        path.pop();
    }
    path
}
