//! Alerts: which conditions of `docs/monitoring/alerts.yml` hold now, from this program's own
//! figures. Prometheus evaluates the same conditions, also over several processes and while this one
//! does not run.

mod figures;
mod rules;

use super::metrics;
use crate::daemon::{Alert, Daemon, Snapshot};
use figures::{Figures, Labels, Windows};
use jiff::Timestamp;
use rules::RULES;
use std::collections::BTreeMap;
use std::time::Instant;

/// Evaluates the rules at regular intervals.
#[derive(Debug, Default)]
pub(super) struct Evaluator {
    windows: Windows,
    /// The conditions that hold, by rule and labels, and since when.
    held: BTreeMap<(&'static str, Labels), (Instant, Timestamp)>,
}

impl Evaluator {
    /// Publishes the alerts of this moment.
    pub(super) fn evaluate(&mut self, daemon: &Daemon, snapshot: &Snapshot) {
        let families = metrics::gather(daemon, snapshot);
        let figures = Figures::new(&families, Timestamp::now());
        let alerts = self.alerts(figures, Instant::now());
        daemon.set_alerts(alerts);
    }

    fn alerts(&mut self, mut figures: Figures, at: Instant) -> Vec<Alert> {
        self.windows.add(&mut figures, at);
        let before = std::mem::take(&mut self.held);
        let mut alerts = Vec::new();
        for rule in RULES {
            for (labels, value) in (rule.holds)(&figures) {
                let key = (rule.name, labels);
                let since = before.get(&key).copied().unwrap_or((at, figures.now));
                if at.saturating_duration_since(since.0) >= rule.hold {
                    alerts.push(rule.alert(&key.1, value, since.1));
                }
                self.held.insert(key, since);
            }
        }
        alerts
    }
}

#[cfg(test)]
mod tests {
    use super::rules::Rule;
    use super::*;
    use prometheus::proto::MetricFamily;
    use serde_json::Value;
    use std::time::Duration;

    /// What this program cannot know of itself.
    const NEEDS_ANOTHER_PROCESS: [&str; 1] = ["WebhookdDown"];

    const SECOND: Duration = Duration::from_secs(1);

    /// A duration as Prometheus writes it.
    fn parse_hold(text: &str) -> Duration {
        let (number, unit) = text.split_at(text.len() - 1);
        let seconds = match unit {
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            unit => panic!("{unit} is not a unit that alerts.yml uses"),
        };
        Duration::from_secs(seconds * number.parse::<u64>().unwrap())
    }

    fn rule(name: &str) -> &'static Rule {
        RULES.iter().find(|rule| rule.name == name).unwrap()
    }

    fn family(name: &str, samples: &[(&[(&str, &str)], f64)]) -> MetricFamily {
        metrics::gauge(name, samples)
    }

    #[test]
    fn every_documented_alert_is_evaluated_by_the_same_expression_or_needs_another_process() {
        let text = include_str!("../../../../../docs/monitoring/alerts.yml");
        let document: Value = serde_saphyr::from_str(text).unwrap();
        let mut documented = Vec::new();
        for alert in document["groups"][0]["rules"].as_array().unwrap() {
            let name = alert["alert"].as_str().unwrap();
            documented.push(name);
            if NEEDS_ANOTHER_PROCESS.contains(&name) {
                continue;
            }
            let rule = RULES.iter().find(|rule| rule.name == name);
            let rule = rule.unwrap_or_else(|| panic!("{name} is not evaluated"));
            assert_eq!(rule.expr, alert["expr"], "{name}");
            assert_eq!(rule.severity.name(), alert["labels"]["severity"], "{name}");
            let hold = alert["for"].as_str().map_or(Duration::ZERO, parse_hold);
            assert_eq!(rule.hold, hold, "{name}");
            let runbook = alert["annotations"]["runbook_url"].as_str().unwrap();
            let shown = rule.alert(&Labels::new(), 0.0, Timestamp::UNIX_EPOCH);
            assert_eq!(shown.runbook, format!("docs/{runbook}"));
        }
        let unknown: Vec<_> = RULES
            .iter()
            .map(|rule| rule.name)
            .filter(|name| !documented.contains(name))
            .collect();
        assert_eq!(unknown, [""; 0], "not in docs/monitoring/alerts.yml");
    }

    #[test]
    fn an_alert_holds_once_its_condition_has_held_for_its_time() {
        let mut evaluator = Evaluator::default();
        let start = Instant::now();
        let mut at = |second: u32, paused: f64| {
            let family = family(
                "webhookd_target_paused",
                &[(&[("target", "audit")], paused)],
            );
            let now = Timestamp::UNIX_EPOCH + SECOND * second;
            evaluator.alerts(Figures::new(&[family], now), start + SECOND * second)
        };
        assert_eq!(at(0, 1.0), []);
        assert_eq!(at(3599, 1.0), []);
        let alerts = at(3600, 1.0);
        assert_eq!(alerts.len(), 1);
        assert_eq!(alerts[0].name, "WebhookdTargetPaused");
        assert_eq!(alerts[0].since, "1970-01-01T00:00:00.000Z");
        assert_eq!(
            alerts[0].summary,
            "Target audit has been paused for an hour"
        );
        assert_eq!(at(3610, 0.0), []);
        // It begins anew.
        assert_eq!(at(3620, 1.0), []);
        assert_eq!(at(7219, 1.0), []);
        assert_eq!(at(7220, 1.0).len(), 1);
    }

    #[test]
    fn an_increase_counts_for_a_quarter_of_an_hour() {
        let mut evaluator = Evaluator::default();
        let start = Instant::now();
        let mut names = |second: u32, dead: f64| {
            let labels: &[(&str, &str)] = &[("target", "audit"), ("reason", "refused")];
            let family = family("webhookd_dead_letters_total", &[(labels, dead)]);
            let now = Timestamp::UNIX_EPOCH + SECOND * second;
            let alerts = evaluator.alerts(Figures::new(&[family], now), start + SECOND * second);
            alerts.into_iter().map(|it| it.summary).collect::<Vec<_>>()
        };
        let expected = "Events for target audit were given up (refused)";
        assert_eq!(names(0, 0.0), [""; 0]);
        // The first one after the start counts, too.
        for second in (10..=900).step_by(10) {
            assert_eq!(names(second, 1.0), [expected], "{second}");
        }
        assert_eq!(names(910, 1.0), [""; 0]);
        assert_eq!(names(930, 2.0), [expected]);
    }

    #[test]
    fn conditions_over_several_figures_match_them_by_their_labels() {
        let audit: &[(&str, &str)] = &[("target", "audit")];
        let other: &[(&str, &str)] = &[("target", "other")];
        let open: &[(&str, &str)] = &[("target", "audit"), ("state", "half-open")];
        let closed: &[(&str, &str)] = &[("target", "other"), ("state", "closed")];
        let families = [
            family("webhookd_pending_events", &[(audit, 3.0), (other, 4.0)]),
            family("webhookd_target_paused", &[(audit, 0.0), (other, 1.0)]),
            family(
                "webhookd_delivered_events_total",
                &[(audit, 0.0), (other, 0.0)],
            ),
            family("webhookd_breaker_state", &[(open, 1.0), (closed, 1.0)]),
            family("webhookd_queue_bytes", &[(&[], 90.0)]),
            family("webhookd_queue_usable_bytes", &[(&[], 100.0)]),
            family("webhookd_follow_gaps_total", &[(&[], 1.0)]),
            family(
                "webhookd_follow_last_gap_timestamp_seconds",
                &[(&[], 1_000.0)],
            ),
            family("webhookd_queue_segments_in_use", &[(&[], 8.0)]),
            family("webhookd_queue_segments", &[(&[], 8.0)]),
        ];
        let now = Timestamp::UNIX_EPOCH + SECOND * 2_000;
        let mut figures = Figures::new(&families, now);
        Windows::default().add(&mut figures, Instant::now());
        let found = |name: &str| {
            let found = (rule(name).holds)(&figures).into_iter();
            let found = found.map(|(labels, value)| (labels.get("target").cloned(), value));
            found.collect::<Vec<_>>()
        };
        let audit = || Some("audit".to_owned());
        assert_eq!(found("WebhookdNoSuccess"), [(audit(), 3.0)]);
        assert_eq!(found("WebhookdBreakerOpen"), [(audit(), 1.0)]);
        assert_eq!(found("WebhookdQueueNearlyFull"), [(None, 0.9)]);
        assert_eq!(found("WebhookdFollowGap"), [(None, 1.0)]);
        assert_eq!(found("WebhookdSegmentsFull"), [(None, 8.0)]);
        assert_eq!(found("WebhookdReloadFailed"), []);
        figures.now = Timestamp::UNIX_EPOCH + SECOND * 90_000;
        assert_eq!((rule("WebhookdFollowGap").holds)(&figures), []);
    }
}
