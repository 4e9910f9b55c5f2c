//! Checks whether the hashes of a payload are those that a JVM would have cached.

use super::jvm::{Jvm, Unhashable};
use super::visit::{Hashed, Site, Visitor};
use crate::release::Span;
use std::fmt;

/// The struct whose hash was requested before the payload was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Asked {
    /// Unknown. A hash of 0 is wrong only in a set of two or more elements, or in a struct with a
    /// hash.
    #[default]
    Unknown,
    /// None: only the elements of sets of two or more have hashes.
    Nobody,
    /// The `TaskConfig`.
    TaskConfig,
    /// The whole `ScheduledTask`.
    ScheduledTask,
}

/// The result of checking the hashes of a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HashReport {
    /// The number of hashes checked.
    pub checked: usize,
    /// The wrong hashes, inner structs before those that contain them.
    pub wrong: Vec<WrongHash>,
    /// The paths of hashes that could not be checked.
    pub unchecked: Vec<(String, Unhashable)>,
}

/// A wrong `cachedHashCode`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrongHash {
    /// The path of its struct or union, for example `task.assignedTask.task.job`.
    pub path: String,
    /// The right hash; 0 if none was requested.
    pub expected: i32,
    /// The hash in the payload.
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
