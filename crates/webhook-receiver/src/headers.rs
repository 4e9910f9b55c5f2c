//! The headers of a request that a receiver needs.

use crate::VerifyError;

/// The headers of a request that [`Verifier`](crate::Verifier) and [`events`](crate::events) read. All
/// others are ignored.
///
/// Names are compared without regard to case. Take the headers of the framework as they are:
///
/// ```
/// use webhook_receiver::RequestHeaders;
/// let from_framework = [("Webhook-Id", "evt_1"), ("Accept", "*/*"), ("webhook-event-ids", "a,b")];
/// let pairs = from_framework.map(|(name, value)| (name, value.as_bytes()));
/// let headers = RequestHeaders::from_pairs(pairs);
/// assert_eq!(headers.id()?, "evt_1");
/// assert!(headers.content_type().is_none());
/// assert_eq!(headers.event_ids(), ["a", "b"]);
/// # Ok::<(), webhook_receiver::VerifyError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RequestHeaders<'a> {
    id: Vec<&'a [u8]>,
    timestamp: Vec<&'a [u8]>,
    signature: Vec<&'a [u8]>,
    event_ids: Vec<&'a str>,
    content_type: Option<&'a str>,
}

impl<'a> RequestHeaders<'a> {
    /// Takes them from names and values. A header that occurs several times has several pairs.
    ///
    /// With axum: `headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))`.
    ///
    /// ```
    /// use webhook_receiver::RequestHeaders;
    /// let lines: [(&str, &[u8]); 2] = [("webhook-event-ids", b"a, b"), ("webhook-event-ids", b"c")];
    /// assert_eq!(RequestHeaders::from_pairs(lines).event_ids(), ["a", "b", "c"]);
    /// ```
    pub fn from_pairs(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> RequestHeaders<'a> {
        let mut headers = RequestHeaders::default();
        for (name, value) in pairs {
            let text = || std::str::from_utf8(value).ok();
            match () {
                () if name.eq_ignore_ascii_case("webhook-id") => headers.id.push(value),
                () if name.eq_ignore_ascii_case("webhook-timestamp") => {
                    headers.timestamp.push(value);
                }
                () if name.eq_ignore_ascii_case("webhook-signature") => {
                    headers.signature.push(value);
                }
                () if name.eq_ignore_ascii_case("webhook-event-ids") => {
                    let ids = text().unwrap_or_default().split(',').map(str::trim);
                    headers.event_ids.extend(ids.filter(|id| !id.is_empty()));
                }
                () if name.eq_ignore_ascii_case("content-type") => headers.content_type = text(),
                () => {}
            }
        }
        headers
    }

    /// `webhook-id`: the id of the request's event, or of its batch.
    ///
    /// # Errors
    /// It is missing, occurs several times, or is not text.
    ///
    /// ```
    /// use webhook_receiver::RequestHeaders;
    /// let headers = RequestHeaders::from_pairs([]);
    /// assert_eq!(headers.id().unwrap_err().to_string(), "the header webhook-id is missing");
    /// ```
    pub fn id(&self) -> Result<&'a str, VerifyError> {
        only("webhook-id", &self.id)
    }

    /// `webhook-event-ids`: the ids of the events, in the order of the body. Empty if the format has room
    /// for one event, or the body has the ids.
    ///
    /// ```
    /// use webhook_receiver::RequestHeaders;
    /// assert!(RequestHeaders::from_pairs([]).event_ids().is_empty());
    /// ```
    #[must_use]
    pub fn event_ids(&self) -> &[&'a str] {
        &self.event_ids
    }

    /// `Content-Type`, with its parameters.
    ///
    /// ```
    /// use webhook_receiver::RequestHeaders;
    /// let headers = RequestHeaders::from_pairs([("content-type", &b"application/json"[..])]);
    /// assert_eq!(headers.content_type(), Some("application/json"));
    /// ```
    #[must_use]
    pub fn content_type(&self) -> Option<&'a str> {
        self.content_type
    }

    pub(crate) fn timestamp(&self) -> Result<&'a str, VerifyError> {
        only("webhook-timestamp", &self.timestamp)
    }

    pub(crate) fn signature(&self) -> Result<&'a str, VerifyError> {
        only("webhook-signature", &self.signature)
    }
}

/// The only value of a header, without white space around it.
fn only<'a>(name: &'static str, values: &[&'a [u8]]) -> Result<&'a str, VerifyError> {
    match values {
        [] => Err(VerifyError::MissingHeader { name }),
        [value] => match std::str::from_utf8(value).map(str::trim_ascii) {
            Ok("") => Err(VerifyError::MissingHeader { name }),
            Ok(text) => Ok(text),
            Err(_) => Err(VerifyError::HeaderNotText { name }),
        },
        _ => Err(VerifyError::RepeatedHeader { name }),
    }
}
