//! Masks the secrets of a target in a text that a receiver or a proxy wrote.

use crate::oauth2::OAuth2;
use crate::secret::MASK;
use crate::target::Target;
use crate::url::percent_decoded;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::fmt;

/// Shorter secrets are not looked for: they occur in texts that have nothing to do with them.
const SHORTEST: usize = 4;
/// Bytes of a secret's beginning that are masked at the end of a text, at least.
const SHORTEST_BEGINNING: usize = 8;

/// The secrets that requests to a target carry: values of headers, parts of the URL, secrets of the
/// template, the credentials for the proxy, and those for an access token.
///
/// ```
/// use webhook_config::{SecretMask, Target, TargetUrl};
///
/// let url = TargetUrl::parse("http://localhost:5000/")?;
/// let target = Target::builder(url).header("Authorization", "Bearer 0123456789").build()?;
/// let shown = SecretMask::of(&target).apply("who sent 0123456789?").into_owned();
/// assert!(!shown.contains("0123456789"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretMask(Vec<String>);

impl SecretMask {
    /// What masks the secrets of a target's requests.
    #[must_use]
    pub fn of(target: &Target) -> SecretMask {
        let hidden = target.header_list().iter().filter(|it| it.shown() == MASK);
        let mut values: Vec<String> = hidden.map(|it| it.text().to_owned()).collect();
        let proxy = target.proxy().and_then(|proxy| proxy.authorization());
        values.extend(proxy.and_then(|value| value.to_str().ok().map(str::to_owned)));
        let client = target.oauth2().map(OAuth2::authorization);
        values.extend(client.and_then(|value| value.to_str().ok().map(str::to_owned)));
        let parts: Vec<String> = values.iter().flat_map(|value| credentials(value)).collect();
        values.extend(parts);
        if let Some(oauth2) = target.oauth2() {
            values.extend(oauth2.secret_texts());
            values.extend(oauth2.token_url().secret_texts().map(str::to_owned));
        }
        let template = target.template().into_iter();
        values.extend(template.flat_map(|it| it.secret_texts().map(str::to_owned)));
        for text in target.url().secret_texts() {
            values.push(text.to_owned());
            values.extend(String::from_utf8(percent_decoded(text)));
        }
        SecretMask::new(values)
    }

    /// The mask that also hides this secret.
    #[must_use]
    pub fn with(&self, secret: &str) -> SecretMask {
        let mut values = self.0.clone();
        values.push(secret.to_owned());
        SecretMask::new(values)
    }

    fn new(mut values: Vec<String>) -> SecretMask {
        let escaped: Vec<String> = values.iter().map(|value| in_json(value)).collect();
        values.extend(escaped);
        values.retain(|secret| secret.len() >= SHORTEST);
        // One that contains another is masked before it.
        values.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        values.dedup();
        SecretMask(values)
    }

    /// The text with `***` in place of each secret, and of the beginning of one at its end, where the
    /// text may have been cut. Without one, it is borrowed.
    #[must_use]
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut masked = Cow::Borrowed(text);
        for secret in &self.0 {
            if masked.contains(secret) {
                masked = Cow::Owned(masked.replace(secret, MASK));
            }
        }
        let cut = self.0.iter().filter_map(|it| cut_secret(&masked, it)).max();
        if let Some(length) = cut {
            let mut shorter = masked.into_owned();
            shorter.truncate(shorter.len() - length);
            masked = Cow::Owned(shorter + MASK);
        }
        masked
    }
}

/// What a receiver may quote of a header's value: the token without its scheme, as of `Bearer TOKEN`,
/// and the user name and password of `Basic`, decoded.
fn credentials(value: &str) -> Vec<String> {
    let Some((scheme, token)) = value.rsplit_once(' ') else {
        return Vec::new();
    };
    let mut found = vec![token.to_owned()];
    if scheme.eq_ignore_ascii_case("Basic")
        && let Ok(bytes) = STANDARD.decode(token)
        && let Ok(pair) = String::from_utf8(bytes)
    {
        found.extend(
            pair.split_once(':')
                .map(|(_, password)| password.to_owned()),
        );
        found.push(pair);
    }
    found
}

/// The length of the longest beginning of a secret that a text ends with.
fn cut_secret(text: &str, secret: &str) -> Option<usize> {
    let mut lengths = (SHORTEST_BEGINNING..secret.len()).rev();
    lengths.find(|&length| secret.is_char_boundary(length) && text.ends_with(&secret[..length]))
}

/// A text as it is within a string of JSON.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

impl fmt::Debug for SecretMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretMask({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use crate::{OAuth2, ProxyUrl, SecretMask, Target, TargetUrl};

    #[test]
    fn a_text_that_quotes_the_request_shows_no_secret_of_the_target() {
        let url = "https://hooks.example.com/services/a1B2c3D4e5F6g7H8i9J0/in?token=hunter%2F22";
        let target = Target::builder(TargetUrl::parse(url).unwrap())
            .header("Authorization", "Bearer s3cr3t-of-mine")
            .header("X-Team", "infrastructure")
            .header("X-Api-Key", r#"quo"ted\key"#)
            .proxy(ProxyUrl::parse("http://user:hunter2@proxy:3128").ok())
            .build()
            .unwrap();
        let mask = SecretMask::of(&target);
        for (text, masked) in [
            (
                "no such team: infrastructure",
                "no such team: infrastructure",
            ),
            (
                "got Authorization: Bearer s3cr3t-of-mine.",
                "got Authorization: ***.",
            ),
            ("unknown token s3cr3t-of-mine", "unknown token ***"),
            (
                "POST /services/a1B2c3D4e5F6g7H8i9J0/in",
                "POST /services/***/in",
            ),
            ("?token=hunter%2F22", "?token=***"),
            ("the token hunter/22 is unknown", "the token *** is unknown"),
            (r#"{"key": "quo\"ted\\key"}"#, r#"{"key": "***"}"#),
            ("Basic dXNlcjpodW50ZXIy", "***"),
            ("user:hunter2 and hunter2", "*** and ***"),
            (
                "cut: Authorization: Bearer s3cr3t",
                "cut: Authorization: ***",
            ),
            ("s3cr3t-of-mine, s3cr3t-of", "***, ***"),
            ("the team infra", "the team infra"),
        ] {
            assert_eq!(mask.apply(text), masked);
        }
        assert_eq!(format!("{mask:?}"), "SecretMask(11)");
    }

    #[test]
    fn the_credentials_of_an_oauth2_client_are_masked_in_each_form() {
        let url = |url| TargetUrl::parse(url).unwrap();
        let oauth2 = OAuth2::new(url("https://login.example.com/"), "a b", "s3cr3t+1").unwrap();
        let target = Target::builder(url("https://example.com/")).oauth2(Some(oauth2));
        let mask = SecretMask::of(&target.build().unwrap());
        for (text, masked) in [
            ("got Basic YStiOnMzY3IzdCUyQjE=", "got ***"),
            (
                "invalid credentials YStiOnMzY3IzdCUyQjE=",
                "invalid credentials ***",
            ),
            ("a+b:s3cr3t%2B1 and s3cr3t%2B1", "*** and ***"),
            ("a b:s3cr3t+1", "a b:***"),
        ] {
            assert_eq!(mask.apply(text), masked);
        }
    }

    #[test]
    fn a_url_that_is_a_secret_as_a_whole_is_masked_from_its_path_on() {
        let url = TargetUrl::parse("https://example.com/in/team?x=1").unwrap();
        let target = Target::builder(url.into_secret()).build().unwrap();
        let mask = SecretMask::of(&target);
        let masked = mask.apply("no /in/team?x=1 here");
        assert_eq!(masked, "no *** here");
    }
}
