//! Filters: which events a target gets.

use std::fmt;

/// The new states that a target gets.
///
/// ```
/// use webhook_config::StatusFilter;
///
/// let filter = StatusFilter::only(["LOST", "FAILED"]);
/// assert!(filter.accepts(Some("LOST")));
/// assert!(!filter.accepts(Some("RUNNING")));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusFilter {
    /// Every state.
    #[default]
    All,
    /// These states, in the order given and without repetitions. An empty list accepts none.
    Only(Vec<String>),
}

impl StatusFilter {
    /// A filter that accepts these states, as the scheduler writes them; repetitions are removed.
    #[must_use]
    pub fn only(statuses: impl IntoIterator<Item: AsRef<str>>) -> Self {
        let mut only: Vec<String> = Vec::new();
        for status in statuses {
            let status = status.as_ref();
            if only.iter().all(|it| it != status) {
                only.push(status.to_owned());
            }
        }
        StatusFilter::Only(only)
    }

    /// Whether a new state is accepted. An event without a state is accepted only by
    /// [`All`](Self::All).
    #[must_use]
    pub fn accepts(&self, status: Option<&str>) -> bool {
        match (self, status) {
            (StatusFilter::All, _) => true,
            (StatusFilter::Only(only), Some(status)) => only.iter().any(|it| it == status),
            (StatusFilter::Only(_), None) => false,
        }
    }
}

/// The jobs whose events a target gets.
///
/// ```
/// use webhook_config::JobFilter;
///
/// let filter = JobFilter::Matching(vec!["www-data/prod/*".parse()?]);
/// assert!(filter.accepts(&["www-data", "prod", "hello"]));
/// assert!(!filter.accepts(&["www-data", "devel", "hello"]));
/// # Ok::<(), webhook_config::InvalidJobPattern>(())
/// ```
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
    /// Whether an event of the job with these parts is accepted. An event without a job has no
    /// parts, and is accepted only by [`All`](Self::All).
    #[must_use]
    pub fn accepts<S: AsRef<str>>(&self, job: &[S]) -> bool {
        match self {
            JobFilter::All => true,
            JobFilter::Matching(patterns) => {
                !job.is_empty() && patterns.iter().any(|pattern| pattern.matches(job))
            }
        }
    }
}

/// A pattern for a job's parts, joined by `/`: for Aurora `role/environment/name`.
///
/// `*` matches any characters within a part, `**` any characters, `/` included. All other
/// characters match themselves.
///
/// ```
/// use webhook_config::JobPattern;
///
/// let pattern: JobPattern = "vagrant/*/http_*".parse()?;
/// assert!(pattern.matches(&["vagrant", "test", "http_example"]));
/// assert!(pattern.matches(&["vagrant/test/http_example"]));
/// assert!(!pattern.matches(&["vagrant", "test", "cron"]));
/// assert!("vagrant/**".parse::<JobPattern>()?.matches(&["vagrant", "test", "cron"]));
/// # Ok::<(), webhook_config::InvalidJobPattern>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobPattern(String);

/// The text is not a job pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJobPattern {
    /// It is not a pattern for any scheduler's jobs.
    #[error(
        "a pattern has 1 to {} bytes and no control characters",
        JobPattern::MAX_LENGTH
    )]
    Text,
    /// It is not a pattern for Aurora's jobs.
    #[error("a pattern has the form role/environment/name; `*` is any part, `**` anything")]
    Aurora,
}

impl JobPattern {
    /// The largest length of a pattern in bytes.
    pub const MAX_LENGTH: usize = 1024;

    /// A pattern for Aurora's jobs: three parts that are not empty, or fewer if one has `**`.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn aurora(pattern: &str) -> Result<Self, InvalidJobPattern> {
        let parts = pattern.split('/').count();
        let shape = if pattern.contains("**") {
            parts <= 3
        } else {
            parts == 3
        };
        let filled = pattern.split('/').all(|part| !part.is_empty());
        let plain = !pattern.chars().any(char::is_whitespace);
        match pattern.parse() {
            Ok(pattern) if shape && filled && plain => Ok(pattern),
            _ => Err(InvalidJobPattern::Aurora),
        }
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the job with these parts matches. A part may hold several, joined by `/`.
    #[must_use]
    pub fn matches<S: AsRef<str>>(&self, job: &[S]) -> bool {
        glob(self.0.as_bytes(), &Joined(job))
    }
}

/// Texts as if joined by `/`.
struct Joined<'a, S>(&'a [S]);

impl<S: AsRef<str>> Joined<'_, S> {
    /// The byte at a place; `None` from the end on.
    fn get(&self, mut at: usize) -> Option<u8> {
        for (index, part) in self.0.iter().enumerate() {
            let part = part.as_ref();
            if index > 0 {
                match at.checked_sub(1) {
                    None => return Some(b'/'),
                    Some(rest) => at = rest,
                }
            }
            match at.checked_sub(part.len()) {
                None => return Some(part.as_bytes()[at]),
                Some(rest) => at = rest,
            }
        }
        None
    }
}

/// Matches from left to right, and on a mismatch goes back to the last star. Of the stars before
/// it, only the last `**` needs to be tried again: a `*` cannot match anything that a later star
/// could not.
fn glob(pattern: &[u8], text: &Joined<'_, impl AsRef<str>>) -> bool {
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
        } else if p == pattern.len() && text.get(t).is_none() {
            return true;
        } else if p < pattern.len() && pattern.get(p).copied() == text.get(t) {
            p += 1;
            t += 1;
        } else if let Some((after, taken)) =
            star.filter(|(_, taken)| text.get(*taken).is_some_and(|byte| byte != b'/'))
        {
            (p, t) = (after, taken + 1);
            star = Some((after, t));
        } else if let Some((after, taken)) =
            double_star.filter(|(_, taken)| text.get(*taken).is_some())
        {
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

    /// A pattern for the jobs of any scheduler, with any number of parts.
    fn from_str(pattern: &str) -> Result<Self, InvalidJobPattern> {
        let is_text = !pattern.is_empty() && !pattern.chars().any(char::is_control);
        if !is_text || pattern.len() > Self::MAX_LENGTH {
            return Err(InvalidJobPattern::Text);
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
            let parts: Vec<&str> = text.split('/').collect();
            prop_assert_eq!(glob(pattern.as_bytes(), &Joined(&[&text])), expected);
            prop_assert_eq!(glob(pattern.as_bytes(), &Joined(&parts)), expected);
        }
    }

    #[test]
    fn a_pattern_of_aurora_has_three_parts_or_a_double_star() {
        for good in ["a/b/c", "*/*/*", "**", "a/**", "**/c", "a/**/c", "a*/b/c*d"] {
            assert_eq!(JobPattern::aurora(good).unwrap().as_str(), good);
        }
        for bad in [
            "", "*", "a/b", "a/b/c/d", "a//c", "/a/b", "a/b/", "a/b/c d", "a/**/c/d",
        ] {
            let refused = Err(InvalidJobPattern::Aurora);
            assert_eq!(JobPattern::aurora(bad), refused, "{bad}");
        }
    }

    #[test]
    fn a_pattern_of_another_scheduler_has_any_number_of_parts() {
        for (pattern, job) in [
            ("batch", &["batch"][..]),
            ("default/*/web/*", &["default", "ci", "web", "x"]),
            ("a//c", &["a", "", "c"]),
            ("night run *", &["night run 7"]),
        ] {
            assert!(
                pattern.parse::<JobPattern>().unwrap().matches(job),
                "{pattern}"
            );
        }
        let long = "x".repeat(JobPattern::MAX_LENGTH + 1);
        for bad in ["", "a\nb", &long] {
            let refused = Err(InvalidJobPattern::Text);
            assert_eq!(bad.parse::<JobPattern>(), refused, "{bad}");
        }
    }

    #[test]
    fn an_event_without_a_job_or_a_state_passes_only_without_a_filter() {
        let any = JobFilter::Matching(vec!["**".parse().unwrap()]);
        assert!(JobFilter::All.accepts::<&str>(&[]) && !any.accepts::<&str>(&[]));
        assert!(any.accepts(&[""]));
        let states = StatusFilter::only(["FAILED", "FAILED", "failed"]);
        let listed = vec!["FAILED".to_owned(), "failed".to_owned()];
        assert_eq!(states, StatusFilter::Only(listed));
        assert!(states.accepts(Some("failed")) && !states.accepts(Some("Failed")));
        assert!(StatusFilter::All.accepts(None) && !states.accepts(None));
    }

    #[test]
    fn a_pattern_of_many_stars_is_quick() {
        let pattern = format!("{}b", "*a".repeat(300));
        let text = "a".repeat(10_000);
        assert!(!glob(pattern.as_bytes(), &Joined(&[&text])));
    }
}
