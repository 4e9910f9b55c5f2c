//! Figures of the streams that are read.

use super::family::{Families, Samples};
use crate::daemon::Daemon;
use crate::sources::StreamFigures;

pub(super) fn add(families: &mut Families, daemon: &Daemon) {
    let streams: Vec<StreamFigures> = daemon.streams.iter().map(|it| it.figures()).collect();
    let samples = |value: fn(&StreamFigures) -> f64| {
        let mut samples = Samples::default();
        for stream in &streams {
            samples.value(&[("source", &stream.name)], value(stream));
        }
        samples
    };
    families.gauge(
        "webhookd_stream_connected",
        "Whether a response of the stream is being read.",
        samples(|it| f64::from(u8::from(it.connected))),
    );
    families.counter(
        "webhookd_stream_connections_total",
        "Responses of the stream that were read.",
        samples(|it| it.connections as f64),
    );
    families.counter(
        "webhookd_stream_errors_total",
        "Requests and responses of the stream that failed.",
        samples(|it| it.errors as f64),
    );
    families.counter(
        "webhookd_stream_documents_total",
        "Documents of the stream, heartbeats and repeats among them.",
        samples(|it| it.documents as f64),
    );
    families.gauge(
        "webhookd_stream_last_document_timestamp_seconds",
        "When the last document of the stream came; 0 if none did.",
        samples(|it| it.last_document as f64),
    );
    families.counter(
        "webhookd_stream_gaps_total",
        "How often the server no longer had what followed the last document.",
        samples(|it| it.gaps as f64),
    );
    families.gauge(
        "webhookd_stream_last_gap_timestamp_seconds",
        "When a gap of the stream was last found; 0 if none was.",
        samples(|it| it.last_gap as f64),
    );
}
