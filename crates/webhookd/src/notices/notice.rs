//! One notice, as a CloudEvent.

use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use webhook_dispatch::rfc3339;

/// The shortest time between two notices of one kind about one target.
pub(super) const INTERVAL: Duration = Duration::from_secs(600);

/// What a notice reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    BreakerOpened,
    BreakerClosed,
    TargetStopped,
    OverQuota,
    DeadLettersGrowing,
    QueueNearlyFull,
    ReloadFailed,
}

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) kind: Kind,
    /// The target that it is about.
    pub(super) target: Option<String>,
    pub(super) message: String,
    /// How often it happened since the last notice of this kind; `None` for a state.
    pub(super) count: Option<u64>,
    /// What is reported with it.
    pub(super) value: u64,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::BreakerOpened => "breaker-opened",
            Kind::BreakerClosed => "breaker-closed",
            Kind::TargetStopped => "target-stopped",
            Kind::OverQuota => "over-quota",
            Kind::DeadLettersGrowing => "dead-letters-growing",
            Kind::QueueNearlyFull => "queue-nearly-full",
            Kind::ReloadFailed => "reload-failed",
        }
    }
}

impl Notice {
    pub(super) fn new(
        kind: Kind,
        target: Option<String>,
        count: Option<u64>,
        value: u64,
    ) -> Notice {
        Notice {
            kind,
            target,
            message: String::new(),
            count,
            value,
        }
    }

    /// With this message.
    pub(super) fn saying(self, message: impl Into<String>) -> Notice {
        let message = message.into();
        Notice { message, ..self }
    }

    /// The event. Its id is the same for ten minutes, so that a queue that several processes share
    /// takes it once, and a process that was restarted does not repeat it.
    pub(super) fn to_json(&self, now: SystemTime) -> Vec<u8> {
        let kind = self.kind.name();
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        let since = since.unwrap_or_default();
        let period = since.as_secs() / INTERVAL.as_secs();
        let target = self.target.as_deref();
        let mut event = json!({
            "specversion": "1.0",
            "id": format!("{kind}/{}/{period}", target.unwrap_or_default()),
            "source": "/webhookd",
            "type": format!("webhookd.notice.{kind}"),
            "time": i64::try_from(since.as_millis()).ok().and_then(rfc3339),
            "datacontenttype": "application/json",
            "data": {
                "notice": kind,
                "target": target,
                "message": self.message,
                "count": self.count,
            },
        });
        if let Some(target) = target {
            // An attribute may not be null.
            event["subject"] = Value::from(target);
        }
        event.to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(notice: &Notice, seconds: u64) -> Value {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        serde_json::from_slice(&notice.to_json(at)).unwrap()
    }

    #[test]
    fn a_notice_is_a_cloud_event_whose_subject_is_its_target() {
        let mut notice = Notice {
            kind: Kind::OverQuota,
            target: Some("audit".to_owned()),
            message: "target audit: \"<b>\"".to_owned(),
            count: Some(3),
            value: 3,
        };
        let expected = json!({
            "specversion": "1.0",
            "id": "over-quota/audit/1",
            "source": "/webhookd",
            "type": "webhookd.notice.over-quota",
            "subject": "audit",
            "time": "1970-01-01T00:10:01Z",
            "datacontenttype": "application/json",
            "data": {
                "notice": "over-quota",
                "target": "audit",
                "message": "target audit: \"<b>\"",
                "count": 3,
            },
        });
        assert_eq!(event(&notice, 601), expected);
        notice.target = None;
        let event = event(&notice, 1199);
        assert_eq!(event.get("subject"), None);
        assert_eq!(event["data"]["target"], Value::Null);
        assert_eq!(event["id"], "over-quota//1");
    }
}
