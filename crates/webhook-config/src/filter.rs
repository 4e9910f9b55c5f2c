//! Filters: which events a target gets.

use std::fmt;
use webhook_model::{EventHeader, ScheduleStatus, StatusName};

/// The new states that a target gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusFilter {
    /// Every state, including those that this program does not know.
    #[default]
    All,
    /// These states, in the order given and without repetitions. An empty list accepts none.
    Only(Vec<ScheduleStatus>),
}

impl StatusFilter {
    /// A filter that accepts these states; repetitions are removed.
    #[must_use]
    pub fn only(statuses: impl IntoIterator<Item = ScheduleStatus>) -> Self {
        let mut only = Vec::new();
        for status in statuses {
            if !only.contains(&status) {
                only.push(status);
            }
        }
        StatusFilter::Only(only)
    }

    /// Whether a new state is accepted. An event without a state is accepted only by
    /// [`All`](Self::All).
    #[must_use]
    pub fn accepts(&self, status: Option<&StatusName<'_>>) -> bool {
        match (self, status) {
            (StatusFilter::All, _) => true,
            (StatusFilter::Only(only), Some(StatusName::Known(status))) => only.contains(status),
            (StatusFilter::Only(_), _) => false,
        }
    }
}

/// The jobs whose events a target gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobFilter {
    /// Every job.
    #[default]
    All,
    /// The jobs that match one of these patterns. An empty list accepts none.
    Matching(Vec<JobPattern>),
}

impl JobFilter {
    /// Whether an event is accepted. An event without a job is accepted only by [`All`](Self::All).
    #[must_use]
    pub fn accepts(&self, header: &EventHeader<'_>) -> bool {
        match self {
            JobFilter::All => true,
            JobFilter::Matching(patterns) => {
                match (&header.role, &header.environment, &header.job_name) {
                    (Some(role), Some(environment), Some(name)) => patterns
                        .iter()
                        .any(|pattern| pattern.matches(role, environment, name)),
                    _ => false,
                }
            }
        }
    }
}

/// A pattern for `role/environment/name`.
///
/// `*` matches any characters within a part, `**` any characters, `/` included. All other
/// characters match themselves.
///
/// ```
/// use webhook_config::JobPattern;
///
/// let pattern: JobPattern = "vagrant/*/http_*".parse()?;
/// assert!(pattern.matches("vagrant", "test", "http_example"));
/// assert!(!pattern.matches("vagrant", "test", "cron"));
/// assert!("vagrant/**".parse::<JobPattern>()?.matches("vagrant", "test", "cron"));
/// # Ok::<(), webhook_config::InvalidJobPattern>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobPattern(String);

/// The text is not a job pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pattern has the form role/environment/name; `*` is any part, `**` anything")]
pub struct InvalidJobPattern;

impl JobPattern {
    /// The largest length of a pattern in bytes.
    pub const MAX_LENGTH: usize = 1024;

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a job matches.
    #[must_use]
    pub fn matches(&self, role: &str, environment: &str, name: &str) -> bool {
        glob(
            self.0.as_bytes(),
            format!("{role}/{environment}/{name}").as_bytes(),
        )
    }
}

/// Matches from left to right, and on a mismatch goes back to the last star. Of the stars before
/// it, only the last `**` needs to be tried again: a `*` cannot match anything that a later star
/// could not.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // The position after the star, and the end of its match; for `*` and for `**`.
    let mut star: Option<(usize, usize)> = None;
    let mut double_star: Option<(usize, usize)> = None;
    loop {
        if pattern[p..].starts_with(b"**") {
            while pattern.get(p) == Some(&b'*') {
                p += 1;
            }
            double_star = Some((p, t));
            star = None;
        } else if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
        } else if p == pattern.len() && t == text.len() {
            return true;
        } else if p < pattern.len() && pattern.get(p) == text.get(t) {
            p += 1;
            t += 1;
        } else if let Some((after, taken)) =
            star.filter(|(_, taken)| text.get(*taken).is_some_and(|byte| *byte != b'/'))
        {
            (p, t) = (after, taken + 1);
            star = Some((after, t));
        } else if let Some((after, taken)) = double_star.filter(|(_, taken)| *taken < text.len()) {
            (p, t) = (after, taken + 1);
            double_star = Some((after, t));
            star = None;
        } else {
            return false;
        }
    }
}

impl std::str::FromStr for JobPattern {
    type Err = InvalidJobPattern;

    fn from_str(pattern: &str) -> Result<Self, InvalidJobPattern> {
        let parts = pattern.split('/').count();
        let shape = if pattern.contains("**") {
            parts <= 3
        } else {
            parts == 3
        };
        let filled = pattern.split('/').all(|part| !part.is_empty());
        let plain = !pattern.chars().any(|c| c.is_control() || c.is_whitespace());
        if !shape || !filled || !plain || pattern.len() > Self::MAX_LENGTH {
            return Err(InvalidJobPattern);
        }
        Ok(JobPattern(pattern.to_owned()))
    }
}

impl fmt::Display for JobPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same by recursion: slow and obviously correct.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            [b'*', rest @ ..] => (0..=text.len())
                .take_while(|taken| !text[..*taken].contains(&b'/'))
                .any(|taken| naive(rest, &text[taken..])),
            [first, rest @ ..] => text.first() == Some(first) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn patterns_match_as_their_definition_says(
            pattern in "[a*/]{0,8}", text in "[ab/]{0,8}",
        ) {
            let expected = naive(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expected);
        }
    }

    #[test]
    fn a_pattern_has_three_parts_or_a_double_star() {
        for good in ["a/b/c", "*/*/*", "**", "a/**", "**/c", "a/**/c", "a*/b/c*d"] {
            assert_eq!(good.parse::<JobPattern>().unwrap().as_str(), good);
        }
        for bad in [
            "", "*", "a/b", "a/b/c/d", "a//c", "/a/b", "a/b/", "a/b/c d", "a/**/c/d",
        ] {
            assert_eq!(bad.parse::<JobPattern>(), Err(InvalidJobPattern), "{bad}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_is_quick() {
        let pattern = format!("{}b", "*a".repeat(300));
        assert!(!glob(pattern.as_bytes(), "a".repeat(10_000).as_bytes()));
    }
}
