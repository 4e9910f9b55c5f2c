//! The sources of the configuration in force, as in a file.

use crate::kubernetes::Kubernetes;
use crate::show_parts::{ShownHeaders, ShownTls, msec, show_tls};
use crate::source::{Source, SourceKind};
use crate::stream::{Connection, Stream};
use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownSource<'a> {
    name: &'a str,
    input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<ShownStream<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<ShownKubernetes<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownStream<'a> {
    url: String,
    cursor: Option<String>,
    initial_cursor: &'a str,
    repeats_cursor: bool,
    #[serde(flatten)]
    connection: ShownConnection<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownKubernetes<'a> {
    server: String,
    resources: Vec<String>,
    namespace: Option<&'a str>,
    label_selector: Option<&'a str>,
    field_selector: Option<&'a str>,
    page_size: u32,
    max_page_bytes: usize,
    max_objects: usize,
    #[serde(flatten)]
    connection: ShownConnection<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownConnection<'a> {
    headers: ShownHeaders<'a>,
    token_file: Option<String>,
    tls: Option<ShownTls>,
    timeout_msec: u64,
    silence_msec: u64,
    retry: ShownReconnect,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownReconnect {
    initial_msec: u64,
    max_msec: u64,
}

pub(crate) fn show_source(source: &Source) -> ShownSource<'_> {
    let (stream, kubernetes) = match source.kind() {
        SourceKind::Stream(stream) => (Some(show_stream(stream)), None),
        SourceKind::Kubernetes(it) => (None, Some(show_kubernetes(it))),
    };
    ShownSource {
        name: source.name(),
        input: source.input(),
        stream,
        kubernetes,
    }
}

fn show_stream(stream: &Stream) -> ShownStream<'_> {
    ShownStream {
        url: stream.url().to_string(),
        cursor: stream.cursor().map(ToString::to_string),
        initial_cursor: stream.initial_cursor(),
        repeats_cursor: stream.repeats_cursor(),
        connection: show_connection(&stream.connection),
    }
}

fn show_kubernetes(it: &Kubernetes) -> ShownKubernetes<'_> {
    ShownKubernetes {
        server: it.server().to_string(),
        resources: it.resources().iter().map(ToString::to_string).collect(),
        namespace: it.namespace(),
        label_selector: it.label_selector(),
        field_selector: it.field_selector(),
        page_size: it.page_size(),
        max_page_bytes: it.max_page_bytes(),
        max_objects: it.max_objects(),
        connection: show_connection(&it.connection),
    }
}

fn show_connection(connection: &Connection) -> ShownConnection<'_> {
    ShownConnection {
        headers: ShownHeaders(connection.headers()),
        token_file: connection
            .token_file()
            .map(|path| path.display().to_string()),
        tls: show_tls(connection.tls()),
        timeout_msec: msec(connection.timeout()),
        silence_msec: msec(connection.silence()),
        retry: ShownReconnect {
            initial_msec: msec(connection.retry().initial()),
            max_msec: msec(connection.retry().max()),
        },
    }
}
