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

/// Whether a part of a URL looks like a generated token: it has 16 letters and digits or more, and
/// a fifth of them or more begin a change between small letters, capitals and digits, where a
/// capital that begins a word does not count twice; or it has 40 characters or more in a row.
///
/// Unlike [`looks_random`], this lets words with a number pass, such as `aurora-prod-us-east-1`.
pub(crate) fn looks_like_token(text: &str) -> bool {
    let class = |byte: u8| match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let bytes = text.as_bytes();
    let length = bytes.iter().filter(|byte| class(**byte) < 3).count();
    let changes = bytes
        .windows(2)
        .map(|pair| (class(pair[0]), class(pair[1])))
        .filter(|(one, next)| one != next && *one < 3 && *next < 3 && (*one, *next) != (1, 0))
        .count();
    let longest = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .map(str::len);
    length >= 16 && changes * 5 >= length.max(20) || longest.max().unwrap_or(0) >= 40
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_token_differs_from_words() {
        for token in [
            "XyZ0aB1cD2eF3gH4iJ5kL6mN",
            "a6cf7ec5-d793-49c7-b10f-0e14ab80bfff",
            "9f86d081884c7d659a2feaa0c55ad015",
            "k3Jf_8sLq-Zp2Rt7Vw1Xy",
            "hQkZLwMpQrSTuVWxyZaB",
            &"a".repeat(40),
        ] {
            assert!(looks_like_token(token), "{token}");
        }
        for words in [
            "aurora-prod-us-east-1",
            "taskStatusChangeWebhookForScheduler",
            "incomingWebhookForSchedulerV2",
            "org.apache.aurora.task.state-change",
            "consumer-group10-topic2",
            "123456789012345678",
            "2016-06-03T22:14:20",
            "x1",
            "",
        ] {
            assert!(!looks_like_token(words), "{words}");
        }
    }

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
