//! The objects of `sources` as types: their keys, types, defaults and descriptions.

use super::mirror::{HeadersFile, TlsFile, UrlText};
use super::object::file_object;
use super::read::{Spanned, Text};

file_object! {
    /// A source of events that webhookd reads itself: either `stream` or `kubernetes`.
    struct SourceFile {
        /// A unique name: 1 to 64 of the characters `A-Z a-z 0-9 _ -`. The file of the cursor and the
        /// metrics identify the source by it, so a renamed source begins anew. If absent, the
        /// `input`, or `default`.
        name: Text = "name", optional;
        /// The input that the events belong to. Null means the default input.
        input: Text = "input", default(null);
        /// A response without end of newline-delimited JSON, over HTTP.
        stream: StreamFile = "stream", optional;
        /// Objects of the Kubernetes API, listed and then watched.
        kubernetes: KubernetesFile = "kubernetes", optional;
    }
}

file_object! {
    /// A response without end of newline-delimited JSON. Each line is a document of the input.
    struct StreamFile {
        /// The URL to GET: absolute, `http` or `https`. `{cursor}` in it is replaced by the cursor of
        /// the last document whose events are all accepted. A string, `{"env": NAME}` or
        /// `{"file": PATH}`.
        url: UrlText = "url", required;
        /// The JSON Pointer to a document's cursor: a string or a number. Null means that the stream
        /// has none, so that what is sent while webhookd is not connected is lost.
        cursor: Text = "cursor", default(null);
        /// What replaces `{cursor}` as long as there is no cursor.
        initial_cursor: Text = "initialCursor", default("");
        /// Whether the server begins with the document of the cursor itself, as Nomad does. Then a
        /// response that begins with a later one is a gap.
        repeats_cursor: bool = "repeatsCursor", default(false);
        /// Headers of each request. A value is a string, `{"env": NAME}` or `{"file": PATH}`; a file
        /// is read again for each connection.
        headers: HeadersFile = "headers", optional;
        /// A file with a bearer token for `Authorization`; it is read again for each connection.
        token_file: Text = "tokenFile", default(null);
        /// The certificates that TLS connections trust and present.
        tls: TlsFile = "tls", optional;
        /// The time-out to connect, name look-up and TLS handshake included, in milliseconds; 1 to
        /// 2147483647.
        timeout: Spanned<u64> = "timeoutMsec", default(10_000);
        /// The longest time without a byte, in milliseconds; 1 to 2147483647. Then the connection is
        /// replaced. Heartbeats should come at least twice as often.
        silence: Spanned<u64> = "silenceMsec", default(90_000);
        /// How long to wait before the next connection.
        retry: ReconnectFile = "retry", optional;
    }
}

file_object! {
    /// How long to wait before the next connection: a random time between 0 and min(`maxMsec`,
    /// `initialMsec` · 2^n), after n connections without a document. A `Retry-After` of 429 and 503 is
    /// respected, up to four times `maxMsec`.
    struct ReconnectFile {
        /// The longest wait before the first new connection, in milliseconds; at least 1.
        initial: Spanned<u64> = "initialMsec", default(1_000);
        /// The longest wait before any new connection, in milliseconds; at least `initialMsec`.
        max: Spanned<u64> = "maxMsec", default(30_000);
    }
}

file_object! {
    /// Objects of the Kubernetes API, listed and then watched. Each becomes a document as in a watch:
    /// `{"type": "ADDED", "object": {…}}`.
    struct KubernetesFile {
        /// The URL of the API server. If absent, webhookd runs in the cluster: the server is
        /// that of `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`, and `tokenFile` and
        /// `tls.caFile` are those of the service account, unless they are given.
        server: Text = "server", optional;
        /// The resource types, as in `kubectl get`: `pods`, `jobs.batch`, `jobs.v1.batch`. Each has
        /// a connection of its own.
        resources: Spanned<Vec<Text>> = "resources", required;
        /// The namespace. Null means all namespaces.
        namespace: Text = "namespace", default(null);
        /// A selector by labels, as in `kubectl get -l`.
        label_selector: Text = "labelSelector", default(null);
        /// A selector by fields, as in `kubectl get --field-selector`.
        field_selector: Text = "fieldSelector", default(null);
        /// The most objects in a page of a list; 1 to 10000.
        page_size: Spanned<u64> = "pageSize", default(500);
        /// The largest page of a list in bytes; 1024 to 1073741824.
        max_page_bytes: Spanned<u64> = "maxPageBytes", default(67_108_864);
        /// The most objects of a resource type that are remembered, to notice what was deleted
        /// between a watch and a new list; 1 to 10000000.
        max_objects: Spanned<u64> = "maxObjects", default(100_000);
        /// Headers of each request, as of a `stream`.
        headers: HeadersFile = "headers", optional;
        /// A file with a bearer token; it is read again for each connection.
        token_file: Text = "tokenFile", optional;
        /// The certificates that TLS connections trust and present.
        tls: TlsFile = "tls", optional;
        /// The time-out to connect, name look-up and TLS handshake included, in milliseconds; 1 to
        /// 2147483647.
        timeout: Spanned<u64> = "timeoutMsec", default(10_000);
        /// The longest time without a byte, in milliseconds; 1 to 2147483647. The server is asked to
        /// end each watch after nine tenths of it, since a quiet watch may send nothing.
        silence: Spanned<u64> = "silenceMsec", default(300_000);
        /// How long to wait before the next connection.
        retry: ReconnectFile = "retry", optional;
    }
}
