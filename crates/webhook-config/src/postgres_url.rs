//! The address of a PostgreSQL database, with what is needed to log in.

use crate::secret::MASK;
use crate::url::percent_decoded;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// How a database is reached, as libpq's programs take it: a URL
/// (`postgres://user:password@host:5432/database?sslmode=verify-full`) or keywords
/// (`host=db.example user=webhook dbname=webhook`).
///
/// It is a secret. `Display` and `Debug` show it as a URL without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// The values by keyword; of a repeated one, the last.
    values: BTreeMap<&'static str, String>,
}

/// Whether a connection is encrypted, and the server's certificate checked: libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SslMode {
    /// Not encrypted.
    Disable,
    /// Encrypted if the server offers it; its certificate is not checked.
    Prefer,
    /// Encrypted; the server's certificate is not checked.
    Require,
    /// Encrypted, with a certificate of a trusted authority.
    VerifyCa,
    /// Encrypted, with a certificate of a trusted authority for the server's name.
    VerifyFull,
}

/// Why a text is not the address of a database. No variant contains a part of the text, which may
/// contain a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPostgresUrl {
    /// It is neither a URL nor keywords.
    #[error(
        "it is neither a URL, postgres://USER:PASSWORD@HOST/DATABASE, nor keywords, host=HOST dbname=DATABASE"
    )]
    Form,
    /// A character of the user name, the password or the database must be percent-encoded.
    #[error(
        "a character of the user name, password or database must be percent-encoded: @ is %40, / is %2F, : is %3A, # is %23, ? is %3F, % is %25"
    )]
    Unescaped,
    /// It has a parameter that is not supported.
    #[error("parameter {0} is not supported; supported are {list}", list = keywords())]
    Parameter(usize),
    /// A certificate is set in it instead of in `tls`.
    #[error(
        "`{0}` does not belong in the URL: use `caFile`, `clientCertFile` and `clientKeyFile` of `tls`"
    )]
    Certificate(&'static str),
    /// The value of this parameter is not valid.
    #[error("the value of `{0}` is not valid")]
    Value(&'static str),
    /// There is no host.
    #[error("it names no host; a directory, such as host=/var/run/postgresql, is a Unix socket's")]
    NoHost,
}

/// The parameters that are supported. Those that only time connections out or keep them alive are
/// set by the queue.
const KEYWORDS: [&str; 11] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslmode",
    "user",
];

/// Parameters that name files: they belong in `tls`.
const CERTIFICATES: [&str; 4] = ["sslcert", "sslkey", "sslpassword", "sslrootcert"];

fn keywords() -> String {
    KEYWORDS.join(", ")
}

impl SslMode {
    /// All values, from the weakest.
    pub const ALL: &'static [SslMode] = &[
        SslMode::Disable,
        SslMode::Prefer,
        SslMode::Require,
        SslMode::VerifyCa,
        SslMode::VerifyFull,
    ];

    /// The name in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SslMode::Disable => "disable",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        }
    }
}

impl PostgresUrl {
    /// Whether a text is meant as such a URL: it begins with `postgres:` or `postgresql:`.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with("postgres:") || text.starts_with("postgresql:")
    }

    /// Reads a URL, or keywords and values.
    ///
    /// # Errors
    /// When it is neither, names no host, or has a parameter that is not supported.
    ///
    /// ```
    /// use webhook_config::PostgresUrl;
    ///
    /// let url = PostgresUrl::parse("postgres://webhook:secret@db.example/events")?;
    /// assert_eq!((url.host(), url.database()), ("db.example", Some("events")));
    /// assert!(!format!("{url:?}").contains("secret"));
    /// # Ok::<(), webhook_config::InvalidPostgresUrl>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, InvalidPostgresUrl> {
        let text = text.trim();
        let pairs = match text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
        {
            Some(rest) => pairs_of_url(rest)?,
            None => pairs_of_keywords(text)?,
        };
        let mut values = BTreeMap::new();
        for (at, (keyword, value)) in pairs.into_iter().enumerate() {
            if let Some(certificate) = CERTIFICATES.iter().find(|it| **it == keyword) {
                return Err(InvalidPostgresUrl::Certificate(certificate));
            }
            let known = KEYWORDS.iter().find(|it| **it == keyword);
            let keyword = known.ok_or(InvalidPostgresUrl::Parameter(at + 1))?;
            check_value(keyword, &value)?;
            values.insert(*keyword, value);
        }
        values.retain(|_, value| !value.is_empty());
        if !values.contains_key("host") && !values.contains_key("hostaddr") {
            return Err(InvalidPostgresUrl::NoHost);
        }
        Ok(PostgresUrl { values })
    }

    /// The host, or the directory of the Unix socket; several with commas between them.
    #[must_use]
    pub fn host(&self) -> &str {
        self.get("host")
            .or_else(|| self.get("hostaddr"))
            .unwrap_or_default()
    }

    /// The port; several with commas between them.
    #[must_use]
    pub fn port(&self) -> &str {
        self.get("port").unwrap_or("5432")
    }

    /// The user; `None` means the one that runs the program.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.get("user")
    }

    /// The database; `None` means the one with the user's name.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        self.get("dbname")
    }

    /// Whether it has a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.values.contains_key("password")
    }

    /// Its `sslmode`, if it has one.
    #[must_use]
    pub fn ssl_mode(&self) -> Option<SslMode> {
        let name = self.get("sslmode")?;
        SslMode::ALL.iter().find(|it| it.name() == name).copied()
    }

    /// All of it as keywords and values in the form of libpq, with the password and without
    /// `sslmode`: a secret, for the database's client only.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut text = String::new();
        for (keyword, value) in self.values.iter().filter(|(it, _)| **it != "sslmode") {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            let blank = if text.is_empty() { "" } else { " " };
            // Writing to a string does not fail.
            let _ok = write!(text, "{blank}{keyword}='{value}'");
        }
        text
    }

    fn get(&self, keyword: &str) -> Option<&str> {
        self.values.get(keyword).map(String::as_str)
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.user() {
            f.write_str(&encoded(user))?;
        }
        if self.has_password() {
            write!(f, ":{MASK}")?;
        }
        if self.user().is_some() || self.has_password() {
            f.write_str("@")?;
        }
        // A directory has slashes, and an address may have colons: these are parameters.
        let host = self.get("host").filter(|host| !host.contains(['/', ':']));
        let (hosts, ports) = (host.unwrap_or_default(), self.get("port"));
        let in_authority = host.is_some() && !hosts.contains(',');
        if in_authority {
            f.write_str(&encoded(hosts))?;
            if let Some(port) = ports {
                write!(f, ":{port}")?;
            }
        }
        if let Some(database) = self.database() {
            write!(f, "/{}", encoded(database))?;
        }
        let mut mark = '?';
        for (keyword, value) in &self.values {
            let shown = match *keyword {
                "user" | "password" | "dbname" => false,
                "host" | "port" => !in_authority,
                _ => true,
            };
            if shown {
                write!(f, "{mark}{keyword}={}", encoded(value))?;
                mark = '&';
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

impl std::str::FromStr for PostgresUrl {
    type Err = InvalidPostgresUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPostgresUrl> {
        PostgresUrl::parse(text)
    }
}

/// The parameters of a URL, from after its `//`.
fn pairs_of_url(rest: &str) -> Result<Vec<(String, String)>, InvalidPostgresUrl> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    // Otherwise a part of a password would be taken for a host or a database, and be shown.
    if rest.contains(['@', '#']) {
        return Err(InvalidPostgresUrl::Unescaped);
    }
    let mut pairs = Vec::new();
    let (userinfo, servers) = match authority.split_once('@') {
        Some((userinfo, servers)) => (Some(userinfo), servers),
        None => (None, authority),
    };
    if servers.contains('@') {
        return Err(InvalidPostgresUrl::Unescaped);
    }
    if let Some(userinfo) = userinfo {
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        if password.contains(':') {
            return Err(InvalidPostgresUrl::Unescaped);
        }
        pairs.push(("user".to_owned(), decoded(user)?));
        pairs.push(("password".to_owned(), decoded(password)?));
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for server in servers.split(',') {
        let (host, port) = match server.strip_prefix('[') {
            Some(address) => {
                let (address, after) = address
                    .split_once(']')
                    .ok_or(InvalidPostgresUrl::Value("host"))?;
                (address, after.strip_prefix(':').unwrap_or(after))
            }
            None => server.split_once(':').unwrap_or((server, "")),
        };
        hosts.push(decoded(host)?);
        ports.push(port);
    }
    pairs.push(("host".to_owned(), hosts.join(",")));
    if ports.iter().any(|port| !port.is_empty()) {
        let port = |port: &&str| if port.is_empty() { "5432" } else { *port }.to_owned();
        let ports: Vec<_> = ports.iter().map(port).collect();
        pairs.push(("port".to_owned(), ports.join(",")));
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let database = path.strip_prefix('/').unwrap_or(path);
    if database.contains('/') {
        return Err(InvalidPostgresUrl::Unescaped);
    }
    pairs.push(("dbname".to_owned(), decoded(database)?));
    for parameter in query.split('&').filter(|it| !it.is_empty()) {
        let (keyword, value) = parameter
            .split_once('=')
            .ok_or(InvalidPostgresUrl::Unescaped)?;
        pairs.push((decoded(keyword)?, decoded(value)?));
    }
    Ok(pairs)
}

/// The text with `%XX` decoded.
fn decoded(text: &str) -> Result<String, InvalidPostgresUrl> {
    let is_escape = |after: &str| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return Err(InvalidPostgresUrl::Unescaped);
    }
    String::from_utf8(percent_decoded(text)).map_err(|_| InvalidPostgresUrl::Unescaped)
}

/// The parameters of `keyword = value` pairs: a value with blanks is in single quotes, and a
/// backslash takes the next character as it is.
fn pairs_of_keywords(text: &str) -> Result<Vec<(String, String)>, InvalidPostgresUrl> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (keyword, after) = rest.split_once('=').ok_or(InvalidPostgresUrl::Form)?;
        let keyword = keyword.trim_end();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        if keyword.is_empty() || !keyword.bytes().all(plain) {
            return Err(InvalidPostgresUrl::Form);
        }
        let after = after.trim_start();
        let is_quoted = after.starts_with('\'');
        let mut characters = after.char_indices().skip(usize::from(is_quoted));
        let mut value = String::new();
        let end = loop {
            match characters.next() {
                Some((_, '\\')) => {
                    let (_, next) = characters.next().ok_or(InvalidPostgresUrl::Form)?;
                    value.push(next);
                }
                Some((at, '\'')) if is_quoted => break at + 1,
                Some((at, blank)) if !is_quoted && blank.is_whitespace() => break at,
                Some((_, character)) => value.push(character),
                None if is_quoted => return Err(InvalidPostgresUrl::Form),
                None => break after.len(),
            }
        };
        pairs.push((keyword.to_owned(), value));
        rest = after[end..].trim_start();
    }
    Ok(pairs)
}

/// Checks a value where a mistake could show a part of a password, or only be found later.
fn check_value(keyword: &'static str, value: &str) -> Result<(), InvalidPostgresUrl> {
    let numbers = |range: std::ops::RangeInclusive<u32>| {
        value
            .split(',')
            .all(|it| it.parse().is_ok_and(|number| range.contains(&number)))
    };
    let is_host = |host: &str| {
        host.starts_with('/')
            || host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte))
    };
    let is_valid = value.is_empty()
        || match keyword {
            "port" => numbers(1..=65_535),
            "connect_timeout" => numbers(0..=86_400),
            "host" | "hostaddr" => value.split(',').all(|it| !it.is_empty() && is_host(it)),
            "sslmode" => SslMode::ALL.iter().any(|it| it.name() == value),
            "channel_binding" => ["disable", "prefer", "require"].contains(&value),
            _ => true,
        };
    match is_valid && !value.contains('\0') {
        true => Ok(()),
        false => Err(InvalidPostgresUrl::Value(keyword)),
    }
}

/// A text as a part of a URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~*,".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ok = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, exposed: &str, shown: &str) {
        let url = PostgresUrl::parse(text).unwrap();
        assert_eq!(url.expose(), exposed);
        assert_eq!(url.to_string(), shown);
        assert_eq!(format!("{url:?}"), format!("PostgresUrl({shown})"));
        // What is shown reads back, with the mask as the password.
        let again = PostgresUrl::parse(shown).unwrap();
        assert_eq!(again.to_string(), shown);
    }

    #[test]
    fn a_url_and_keywords_mean_the_same() {
        check(
            "postgres://webhook:p%40ss%27w%5C@db.example:6432/events?sslmode=verify-full",
            r"dbname='events' host='db.example' password='p@ss\'w\\' port='6432' user='webhook'",
            "postgres://webhook:***@db.example:6432/events?sslmode=verify-full",
        );
        check(
            r"host=db.example port = 6432 user=webhook password='p@ss\'w\\' dbname=events",
            r"dbname='events' host='db.example' password='p@ss\'w\\' port='6432' user='webhook'",
            "postgres://webhook:***@db.example:6432/events",
        );
        check(
            "postgresql://a:1,b/db",
            "dbname='db' host='a,b' port='1,5432'",
            "postgres:///db?host=a,b&port=1,5432",
        );
        check(
            "postgres:///db?host=/var/run/postgresql&user=u&password=hunter2",
            "dbname='db' host='/var/run/postgresql' password='hunter2' user='u'",
            "postgres://u:***@/db?host=%2Fvar%2Frun%2Fpostgresql",
        );
        check(
            "postgres://u@%2Ftmp/db",
            "dbname='db' host='/tmp' user='u'",
            "postgres://u@/db?host=%2Ftmp",
        );
        check(
            "postgres://[2001:db8::1]:5433/db",
            "dbname='db' host='2001:db8::1' port='5433'",
            "postgres:///db?host=2001%3Adb8%3A%3A1&port=5433",
        );
        check(
            "host=a%1 port=1",
            "host='a%1' port='1'",
            "postgres://a%251:1",
        );
    }

    #[test]
    fn what_is_not_an_address_is_refused_without_a_part_of_it() {
        use InvalidPostgresUrl::{Certificate, Form, NoHost, Parameter, Unescaped, Value};
        for (text, expected) in [
            ("", NoHost),
            ("hunter2", Form),
            ("http://hunter2", Form),
            ("http://h/?hunter2=1", Form),
            ("host=h password=my hunter2", Form),
            ("host=h password=my hunter=two", Parameter(3)),
            ("host=h password='hunter2", Form),
            (r"host=h password=hunter2\", Form),
            ("password=hunter2 user=u", NoHost),
            ("postgres://u:hunt/er2@h/db", Unescaped),
            ("postgres://u:12/hunter2@h/db", Unescaped),
            ("postgres://u:hunt@er2@h/db", Unescaped),
            ("postgres://u:12?hunter2@h/db", Unescaped),
            ("postgres://u:12#hunter2@h/db", Unescaped),
            ("postgres://u:hunt:er2@h/db", Unescaped),
            ("postgres://u:hunter2%@h/db", Unescaped),
            ("postgres://u:hunter2%zz@h/db", Unescaped),
            ("postgres://u:%ff@h/db", Unescaped),
            ("postgres://h/hunter2/db", Unescaped),
            ("postgres://u:hunter2/db", Value("port")),
            ("postgres://u:1@h/db?hunter2", Unescaped),
            ("postgres://u:1@h/db?passwd=hunter2", Parameter(5)),
            ("postgres://u:1@h:0/db", Value("port")),
            ("postgres://u:1@h b/db", Value("host")),
            ("postgres://u:1@[::1/db", Value("host")),
            ("postgres://u:1@h/db?sslmode=allow", Value("sslmode")),
            (
                "postgres://h/db?sslrootcert=/hunter2",
                Certificate("sslrootcert"),
            ),
            ("postgres://h/a%00b", Value("dbname")),
        ] {
            let error = PostgresUrl::parse(text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunt") && !shown.contains("er2"), "{shown}");
        }
    }

    #[test]
    fn the_mode_of_tls_is_read() {
        for mode in SslMode::ALL {
            let text = format!("host=h sslmode={}", mode.name());
            let url = PostgresUrl::parse(&text).unwrap();
            assert_eq!(url.ssl_mode(), Some(*mode));
            assert_eq!(url.expose(), "host='h'");
        }
        assert_eq!(PostgresUrl::parse("host=h").unwrap().ssl_mode(), None);
    }
}
