//! The source of a secret, and whether a value may be shown.

use std::path::PathBuf;

/// The source of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretSource {
    /// The configuration itself.
    Literal,
    /// The environment variable of this name.
    Env(String),
    /// The file at this path.
    File(PathBuf),
}

/// Replaces a secret in all output.
pub(crate) const MASK: &str = "***";

/// Whether a header in the file looks like a credential, by its name or its value.
///
/// `config show` prints the headers for which this is false, so in doubt it is true. Every other
/// output masks all header values.
pub(crate) fn looks_secret(name: &str, value: &str) -> bool {
    const WORDS: [&str; 17] = [
        "auth", "bearer", "cookie", "cred", "csrf", "hmac", "jwt", "key", "otp", "pass", "private",
        "pwd", "secret", "session", "sig", "token", "whsec",
    ];
    let name = name.to_ascii_lowercase();
    let lower = value.to_ascii_lowercase();
    let named = WORDS
        .iter()
        .any(|word| name.contains(word) || lower.contains(word));
    let scheme = ["basic ", "digest ", "negotiate ", "api"]
        .iter()
        .any(|it| lower.starts_with(it));
    named || scheme || looks_random(value) || value.contains('@')
}

/// Whether a text contains a long run of letters and digits, as generated tokens do.
pub(crate) fn looks_random(text: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    let is_random = |run: &str| {
        let is_mixed = run.contains(|c: char| c.is_ascii_digit())
            && run.contains(|c: char| c.is_ascii_alphabetic());
        run.len() >= 16 && is_mixed || run.len() >= 40
    };
    text.starts_with("whsec_") || text.split(|c| !part(c)).any(is_random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_looks_like_a_credential_is_masked() {
        for (name, value) in [
            ("Authorization", "x"),
            ("X-Api-Key", "x"),
            ("Cookie", "x"),
            ("X-Auth-Token", "x"),
            ("X-Custom", "Bearer abc"),
            ("X-Custom", "Basic dXNlcjpwYXNz"),
            ("X-Custom", "a6cf7ec5-d793-49c7-b10f-0e14ab80bfff"),
            ("X-Custom", "ghp16C7e42F292c6912E7710c838347Ae178B4a"),
            ("X-Custom", "https://user:x@proxy/"),
        ] {
            assert!(looks_secret(name, value), "{name}: {value}");
        }
    }

    #[test]
    fn an_ordinary_header_is_shown() {
        for (name, value) in [
            ("Content-Type", "application/vnd.kafka.json.v1+json"),
            ("Content-Type", "application/json; charset=nope"),
            ("Producer-Type", "reliable"),
            ("A", "1.50"),
            ("A", "caf\u{e9} \u{2603}"),
            ("User-Agent", "webhook/1.0"),
        ] {
            assert!(!looks_secret(name, value), "{name}: {value}");
        }
    }
}
