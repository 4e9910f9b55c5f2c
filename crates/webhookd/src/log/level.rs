//! The level of log lines, checked when the command line is read.

use std::str::FromStr;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
/// Without a level, as where the environment variable is empty.
const DEFAULT: &str = "info";
/// What the modules that log begin with; lines of other crates are left out.
const OURS: &str = "webhook";

/// A level for all lines, or several, separated by commas: `info,webhookd::reload=debug`.
#[derive(Clone, Debug)]
pub(super) struct Levels(String);

impl Levels {
    pub(super) fn filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

impl FromStr for Levels {
    type Err = String;

    fn from_str(text: &str) -> Result<Levels, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Levels(DEFAULT.to_owned()));
        }
        for directive in text.split(',') {
            let level = match directive.split_once('=') {
                Some((module, level)) if module.trim().starts_with(OURS) => level,
                Some((module, _)) => {
                    return Err(format!("no log line comes from a module {module:?}"));
                }
                None => directive,
            };
            let level = level.trim();
            if level.is_empty() || level.parse::<LevelFilter>().is_err() {
                return Err(unknown(level));
            }
        }
        Ok(Levels(text.to_owned()))
    }
}

fn unknown(level: &str) -> String {
    let distance = |known: &&&str| strsim::osa_distance(&level.to_lowercase(), known);
    let nearest = LEVELS.iter().min_by_key(distance);
    let nearest = nearest.filter(|known| distance(known) <= 2);
    let suggestion = nearest.map_or_else(String::new, |known| format!("; did you mean {known}?"));
    format!(
        "{level:?} is not a log level: --log-level and WEBHOOKD_LOG take {}{suggestion}",
        LEVELS.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_misspelt_is_refused_with_the_nearest() {
        for good in ["", "warn", " WARN ", "off", "info,webhookd::reload=debug"] {
            assert!(good.parse::<Levels>().is_ok(), "{good:?}");
        }
        for (bad, said) in [
            ("wran", "did you mean warn?"),
            ("inof", "did you mean info?"),
            ("info,webhookd=degub", "did you mean debug?"),
            ("verbose", "take error, warn, info, debug, trace, off"),
            ("info,", "is not a log level"),
            ("webhookd=", "is not a log level"),
            ("hyper=debug", "no log line comes from a module \"hyper\""),
            ("a=b=c", "no log line comes from a module"),
        ] {
            let error = bad.parse::<Levels>().unwrap_err();
            assert!(error.contains(said), "{bad}: {error}");
        }
    }
}
