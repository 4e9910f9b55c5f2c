//! One attempt: headers, format, signature, and what its result means. May use http and shared.

mod access_token;
mod attempt_result;
mod endpoint;
mod event_parts;
mod excerpt;
mod format;
mod headers;
mod outcome;
mod request_template;
mod sign;

pub(crate) use self::access_token::AccessToken;
pub(crate) use self::attempt_result::AttemptResult;
pub(crate) use self::endpoint::Endpoint;
pub(crate) use self::event_parts::{EventParts, RequestEvent};
pub use self::excerpt::RESPONSE_KEPT;
pub(crate) use self::excerpt::legible;
pub(crate) use self::format::masked_body;
pub use self::format::{CLOUD_EVENT_TYPE, GENERIC_CLOUD_EVENT_TYPE};
pub(crate) use self::headers::AttemptInfo;
pub use self::outcome::{Verdict, classify};
pub(crate) use self::request_template::RequestTemplate;
pub use self::sign::{
    WEBHOOK_ATTEMPT, WEBHOOK_EVENT_IDS, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP,
};
