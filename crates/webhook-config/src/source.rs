//! Sources of events that webhookd reads itself: streams over HTTP.

use crate::kubernetes::Kubernetes;
use crate::stream::{Connection, Stream};

/// A source of events.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub(crate) name: String,
    pub(crate) input: Option<String>,
    pub(crate) kind: SourceKind,
}

/// What a source reads.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SourceKind {
    /// Newline-delimited JSON that an HTTP server sends for ever.
    Stream(Stream),
    /// Lists and watches of the Kubernetes API.
    Kubernetes(Kubernetes),
}

impl Source {
    /// The name: 1 to 64 of `A-Z a-z 0-9 _ -`. The cursor's file and the metrics identify the source
    /// by it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the input that its events belong to; `None` for the default input.
    #[must_use]
    pub fn input(&self) -> Option<&str> {
        self.input.as_deref()
    }

    /// What it reads.
    #[must_use]
    pub fn kind(&self) -> &SourceKind {
        &self.kind
    }

    /// How its server is reached.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        match &self.kind {
            SourceKind::Stream(stream) => stream.connection(),
            SourceKind::Kubernetes(kubernetes) => kubernetes.connection(),
        }
    }
}
