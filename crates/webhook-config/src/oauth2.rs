//! OAuth 2.0 client credentials (RFC 6749, section 4.4).

use crate::url::TargetUrl;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use std::fmt;

/// How a target's access token is requested: by the client credentials grant, with the client's id and
/// secret as HTTP Basic credentials.
///
/// `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct OAuth2 {
    token_url: TargetUrl,
    client_id: String,
    client_secret: String,
    scopes: Vec<String>,
    audience: Option<String>,
}

/// Why OAuth 2.0 settings cannot be used. No variant contains the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOAuth2 {
    /// The client's id is empty.
    #[error("the client's id is empty")]
    ClientId,
    /// The client's secret is empty.
    #[error("the client's secret is empty")]
    ClientSecret,
    /// A scope is empty, or has a character that RFC 6749 does not allow in one.
    #[error(
        "a scope is empty or has a blank, a quotation mark, a backslash or a character beyond ASCII"
    )]
    Scope,
}

impl OAuth2 {
    /// Requests tokens from this URL, with these credentials and no scopes.
    ///
    /// # Errors
    /// When the id or the secret is empty.
    pub fn new(
        token_url: TargetUrl,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> Result<OAuth2, InvalidOAuth2> {
        let (client_id, client_secret) = (client_id.into(), client_secret.into());
        if client_id.is_empty() {
            return Err(InvalidOAuth2::ClientId);
        }
        if client_secret.is_empty() {
            return Err(InvalidOAuth2::ClientSecret);
        }
        Ok(OAuth2 {
            token_url,
            client_id,
            client_secret,
            scopes: Vec::new(),
            audience: None,
        })
    }

    /// Asks for these scopes.
    ///
    /// # Errors
    /// When one is not a scope of RFC 6749, section 3.3.
    pub fn with_scopes(self, scopes: Vec<String>) -> Result<OAuth2, InvalidOAuth2> {
        let allowed = |byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        let is_scope = |scope: &String| !scope.is_empty() && scope.bytes().all(allowed);
        if !scopes.iter().all(is_scope) {
            return Err(InvalidOAuth2::Scope);
        }
        Ok(OAuth2 { scopes, ..self })
    }

    /// Asks for a token for this audience, a parameter beyond RFC 6749 that some servers need.
    #[must_use]
    pub fn with_audience(self, audience: Option<String>) -> OAuth2 {
        OAuth2 { audience, ..self }
    }

    /// Where tokens are requested.
    #[must_use]
    pub fn token_url(&self) -> &TargetUrl {
        &self.token_url
    }

    /// The client's id.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The scopes asked for.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// The audience asked for.
    #[must_use]
    pub fn audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    /// The value of `Authorization` in a request for a token (RFC 6749, section 2.3.1). It is marked
    /// sensitive.
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        let id = form_encoded(&self.client_id);
        let credentials = STANDARD.encode(format!("{id}:{}", form_encoded(&self.client_secret)));
        let mut value = HeaderValue::from_str(&format!("Basic {credentials}"))
            .expect("base64 is a header value");
        value.set_sensitive(true);
        value
    }

    /// The body of a request for a token, as `application/x-www-form-urlencoded`.
    #[must_use]
    pub fn token_request(&self) -> String {
        let mut body = "grant_type=client_credentials".to_owned();
        if !self.scopes.is_empty() {
            body += "&scope=";
            body += &form_encoded(&self.scopes.join(" "));
        }
        if let Some(audience) = &self.audience {
            body += "&audience=";
            body += &form_encoded(audience);
        }
        body
    }

    /// The client's secret, as it is and form-encoded.
    pub(crate) fn secret_texts(&self) -> [String; 2] {
        let encoded = form_encoded(&self.client_secret);
        [self.client_secret.clone(), encoded]
    }
}

impl fmt::Debug for OAuth2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2")
            .field("token_url", &self.token_url)
            .field("client_id", &self.client_id)
            .field("scopes", &self.scopes)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// A text as a value of `application/x-www-form-urlencoded`.
fn form_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oauth2() -> OAuth2 {
        let url = TargetUrl::parse("https://login.example.com/token").unwrap();
        OAuth2::new(url, "a b:c", "s3/cr+et ü").unwrap()
    }

    #[test]
    fn credentials_are_form_encoded_before_they_are_base64() {
        let expected = STANDARD.encode("a+b%3Ac:s3%2Fcr%2Bet+%C3%BC");
        let value = oauth2().authorization();
        assert_eq!(value, format!("Basic {expected}"));
        assert!(value.is_sensitive());
        let debugged = format!("{:?}", oauth2());
        assert!(!debugged.contains("s3"), "{debugged}");
    }

    #[test]
    fn a_request_names_scopes_and_audience() {
        assert_eq!(oauth2().token_request(), "grant_type=client_credentials");
        let scopes = vec!["events:write".to_owned(), "b".to_owned()];
        let full = oauth2().with_scopes(scopes).unwrap();
        assert_eq!(
            full.with_audience(Some("https://x/".to_owned()))
                .token_request(),
            "grant_type=client_credentials&scope=events%3Awrite+b&audience=https%3A%2F%2Fx%2F"
        );
        for scope in ["", "a b", "\"", "\\", "ü"] {
            let refused = oauth2().with_scopes(vec![scope.to_owned()]);
            assert_eq!(refused, Err(InvalidOAuth2::Scope), "{scope:?}");
        }
    }
}
