//! Streams: events that webhookd asks an HTTP server for.
//!
//! Each stream has a thread, which reads one response after the other ([`reading`]): lines of JSON
//! ([`lines`]), or a list and watches of Kubernetes ([`kubernetes`]). [`documents`] submits what
//! comes, and keeps the cursor up to which all of it is accepted; a new connection and a restart go on
//! there. [`client`] makes the requests.

mod client;
mod documents;
mod frames;
mod kubernetes;
mod lines;
mod reading;
mod socket;
mod stats;

use super::feeder::Feeder;
use crate::signals::Signals;
use anyhow::{Context, Result};
use client::Client;
use documents::Documents;
use kubernetes::Watch;
use lines::Lines;
use reading::Reader;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use webhook_config::{Resource, Source, SourceKind};

pub(crate) use stats::{StreamFigures, StreamStats};

/// A stream to be read: a source, or one resource type of it.
pub(crate) struct Stream {
    source: Source,
    resource: Option<Resource>,
    stats: Arc<StreamStats>,
}

impl Stream {
    /// The streams of these sources.
    pub(crate) fn of(sources: &[Source]) -> Vec<Stream> {
        let mut streams = Vec::new();
        for source in sources {
            let mut add = |name: String, resource| {
                streams.push(Stream {
                    source: source.clone(),
                    resource,
                    stats: Arc::new(StreamStats::new(name)),
                });
            };
            match source.kind() {
                SourceKind::Kubernetes(it) => {
                    for resource in it.resources() {
                        add(
                            format!("{}/{resource}", source.name()),
                            Some(resource.clone()),
                        );
                    }
                }
                _ => add(source.name().to_owned(), None),
            }
        }
        streams
    }

    pub(crate) fn name(&self) -> &str {
        self.stats.name()
    }

    /// The input that its events belong to; empty for the default one.
    pub(crate) fn input(&self) -> Arc<str> {
        Arc::from(self.source.input().unwrap_or_default())
    }

    pub(crate) fn stats(&self) -> Arc<StreamStats> {
        Arc::clone(&self.stats)
    }

    /// Reads the stream, on a thread of its own, until a signal arrives.
    ///
    /// # Errors
    /// The cursor's file is damaged, a certificate cannot be used, or the system refuses the thread.
    pub(crate) fn start(
        self,
        directory: &Path,
        max_line: usize,
        feeder: Feeder,
        signals: &Arc<Signals>,
    ) -> Result<JoinHandle<()>> {
        let failed = format!("cannot read the stream {}", self.name());
        let client = Client::new(self.source.connection(), signals).context(failed.clone())?;
        let documents = Documents::resume(feeder, self.stats(), directory.to_owned());
        let reader = Reader {
            client,
            documents: documents.context(failed.clone())?,
            stats: self.stats(),
            max_line,
            retry: self.source.connection().retry().clone(),
        };
        let thread = std::thread::Builder::new().name(format!("stream-{}", self.name()));
        let kind = self.source.kind().clone();
        let thread = match (kind, self.resource) {
            (SourceKind::Stream(settings), _) => {
                thread.spawn(move || reader.run(Lines::new(settings)))
            }
            (SourceKind::Kubernetes(settings), Some(resource)) => {
                thread.spawn(move || reader.run(Watch::new(settings, resource)))
            }
            _ => anyhow::bail!("{failed}: this kind of source is not known"),
        };
        thread.context(failed)
    }
}
