//! A walk through everything in a payload that has a `cachedHashCode`.

use super::JavaHash;
use super::cached::CachedHash;
use super::jvm::{Asking, Jvm, Unhashable};
use crate::release::Span;
use std::fmt;

/// A struct or union with a cached hash.
pub(crate) trait Hashed: JavaHash {
    /// Its name in Aurora.
    fn type_name(&self) -> &'static str;

    fn cached(&self) -> &CachedHash;
}

impl dyn Hashed + '_ {
    /// Its hash, computed from its fields alone.
    pub(crate) fn afresh(&self, jvm: &Jvm) -> Result<i32, Unhashable> {
        self.java_hash(&Asking::afresh(jvm))
    }
}

/// The position of a walk: the path from the payload's root, and whether Java has computed the hash
/// there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'p> {
    parent: Option<&'p Site<'p>>,
    step: Step<'p>,
    /// Whether Java has computed the hash here: because it computed that of something around it, or
    /// because this is in a set of two or more.
    pub(crate) asked: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step<'p> {
    Root,
    Member(&'p str),
    Element(usize),
}

impl<'p> Site<'p> {
    pub(crate) const ROOT: Site<'static> = Site {
        parent: None,
        step: Step::Root,
        asked: false,
    };

    pub(crate) fn member(&'p self, name: &'p str) -> Site<'p> {
        Site {
            parent: Some(self),
            step: Step::Member(name),
            asked: self.asked,
        }
    }

    pub(crate) fn element(&'p self, index: usize) -> Site<'p> {
        Site {
            parent: Some(self),
            step: Step::Element(index),
            asked: self.asked,
        }
    }

    /// The same position, without a computed hash.
    pub(crate) fn unasked(self) -> Site<'p> {
        Site {
            asked: false,
            ..self
        }
    }

    pub(crate) fn asked_if(self, asked: bool) -> Site<'p> {
        Site {
            asked: self.asked || asked,
            ..self
        }
    }
}

impl fmt::Display for Site<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Member(name) => {
                let outermost = self
                    .parent
                    .is_none_or(|parent| matches!(parent.step, Step::Root));
                write!(f, "{}{name}", if outermost { "" } else { "." })
            }
            Step::Element(index) => write!(f, "[{index}]"),
        }
    }
}

/// Visits structs and unions: inner ones before those that contain them.
pub(crate) trait Visitor {
    /// Whether Java has computed the hash of `node`, and of everything in it.
    fn asks(&self, _node: &dyn Hashed) -> bool {
        false
    }

    /// Whether the hash of a struct includes a field that these releases have.
    fn hashes(&self, _span: Span) -> bool {
        true
    }

    fn visit(&mut self, node: &dyn Hashed, site: &Site<'_>);
}
