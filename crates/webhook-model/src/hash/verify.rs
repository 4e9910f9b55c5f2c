//! Whether a payload's hashes are what a JVM would have cached.

use super::jvm::{Jvm, Unhashable};
use super::visit::{Hashed, Site, Visitor};
use crate::release::Span;
use std::fmt;

/// Whose hash somebody had asked for before the payload was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Asked {
    /// Unknown. A hash of 0 is wrong only where a larger set, or something with a hash, holds it.
    #[default]
    Unknown,
    /// Nobody's: only the elements of larger sets have one.
    Nobody,
    /// The `TaskConfig`'s.
    TaskConfig,
    /// The whole `ScheduledTask`'s.
    ScheduledTask,
}

/// What came of checking a payload's hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HashReport {
    /// How many were checked.
    pub checked: usize,
    /// Those that are wrong, the inner before what holds them.
    pub wrong: Vec<WrongHash>,
    /// Those that could not be checked, by their paths.
    pub unchecked: Vec<(String, Unhashable)>,
}

/// A `cachedHashCode` that does not come out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrongHash {
    /// The struct or union that carries it, `task.assignedTask.task.job` say.
    pub path: String,
    /// What should be there; 0 where nobody had asked.
    pub expected: i32,
    /// What is there.
    pub found: i32,
}

impl fmt::Display for WrongHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WrongHash {
            path,
            expected,
            found,
        } = self;
        write!(
            f,
            "{path}.cachedHashCode: expected {expected}, found {found}"
        )
    }
}

/// Checks the hash of each struct that it visits.
pub(crate) struct Check<'j> {
    jvm: &'j Jvm,
    asked: Asked,
    pub(crate) report: HashReport,
}

impl<'j> Check<'j> {
    pub(crate) fn new(jvm: &'j Jvm, asked: Asked) -> Self {
        Check {
            jvm,
            asked,
            report: HashReport::default(),
        }
    }
}

impl Visitor for Check<'_> {
    fn asks(&self, node: &dyn Hashed) -> bool {
        match self.asked {
            Asked::Unknown => node.cached().get() != 0,
            Asked::Nobody => false,
            Asked::TaskConfig => node.type_name() == "TaskConfig",
            Asked::ScheduledTask => node.type_name() == "ScheduledTask",
        }
    }

    fn hashes(&self, span: Span) -> bool {
        span.holds(self.jvm.release())
    }

    fn visit(&mut self, node: &dyn Hashed, site: &Site<'_>) {
        let found = node.cached().get();
        if self.asked == Asked::Unknown && !site.asked {
            return;
        }
        let expected = if site.asked {
            node.afresh(self.jvm)
        } else {
            Ok(0)
        };
        match expected {
            Err(reason) => self.report.unchecked.push((site.to_string(), reason)),
            Ok(expected) => {
                self.report.checked += 1;
                if found != expected {
                    self.report.wrong.push(WrongHash {
                        path: site.to_string(),
                        expected,
                        found,
                    });
                }
            }
        }
    }
}
