//! The objects of the file as types: their keys, types, defaults and descriptions.

use super::input::ConditionJson;
use super::object::{file_object, shorten};
use super::read::{FromValue, Milliseconds, Reader, Slot, Spanned, Text};
use super::statuses::StatusList;
use crate::diagnostic::Code;
use crate::json::{Key, Kind, Member, Span, Value};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

file_object! {
    /// A receiver of events and the settings of its deliveries.
    struct TargetFile {
        /// A unique name: 1 to 64 of the characters `A-Z a-z 0-9 _ -`. The queue and the metrics
        /// identify the target by it, so a renamed target is a new one.
        name: Text = "name", default("default");
        /// The URL that events are sent to: absolute, `http` or `https`. A string, `{"env":
        /// NAME}` or `{"file": PATH}`, which keep a token in it out of this file.
        url: UrlText = "targetURL", required;
        /// The method of each request: `POST`, `PUT` or `PATCH`. A Kafka REST Proxy takes `POST` alone.
        method: MethodText = "method", default("POST");
        /// Headers of each request; may be `{}`. A value is a string, `{"env": NAME}` or `{"file":
        /// PATH}`. `Host`, `Content-Length`, `Transfer-Encoding` and `Connection` are refused.
        /// `Expect` is sent, but the body follows without waiting for a response.
        headers: HeadersFile = "headers", required;
        /// The connect time-out in milliseconds, TLS handshake included; 1 to 2147483647. A value
        /// under 100 is a warning: it only suits receivers in the same network.
        timeout: Milliseconds = "timeoutMsec", required;
        /// The time-out for the response's status line in milliseconds, counted from the
        /// connection. If absent, the larger of `timeoutMsec` and 5000.
        response_timeout: Spanned<u64> = "responseTimeoutMsec", optional;
        /// The names of the inputs whose events are sent; `"default"` is the one of `events`, and
        /// `"notices"` that of webhookd's own events. Absent or null means all but `"notices"`. Only in
        /// an object of `targets`: at the top level, `inputs` has the inputs themselves.
        inputs: Spanned<Vec<Text>> = "inputs", default(null);
        /// The new states to send, as the scheduler writes them. Absent, null or a list with `"*"`
        /// means all; `[]` means none. For a target whose inputs all are Aurora's, names that Aurora
        /// does not have are refused.
        statuses: StatusList = "statuses", default(null);
        /// The jobs whose events are sent: patterns for a job's parts, joined by `/` (for Aurora
        /// `role/environment/name`), where `*` matches anything within a part and `**` matches
        /// anything. Absent or null means all.
        jobs: Spanned<Vec<Text>> = "jobs", default(null);
        /// Conditions on the event as it came in; all must hold. Each has the pointer `at` and one
        /// or more tests of the value there: `in` a list of values, `equals` a value, text with a
        /// `prefix`, `exists` (true or false), a number `atLeast` or `atMost`, and `not` with tests
        /// of which one must fail.
        conditions: Spanned<Vec<ConditionJson>> = "where", default([]);
        /// Whether to send events without an old state: the state of every task when the scheduler
        /// starts.
        initial_events: bool = "initialEvents", default(true);
        /// The format of the body: the event, byte for byte as accepted (`aurora`), a Kafka REST v2
        /// record with the event's key, a CloudEvents 1.0 event, the event in a line (`ndjson`), in a
        /// JSON array, or in an array of CloudEvents, or what `template` makes of it. Those with room
        /// for several events allow `batch`: `kafka-rest-v2`, `ndjson`, `json-array` and
        /// `cloudevents-batch`.
        format: FormatText = "format", default("aurora");
        /// The body as JSON, with `"format": "template"`: strings with values in braces
        /// (`"{/task/status}"`, `"{state}"`), and objects that stand for values (`{"$at":
        /// "/task"}`). [templates.md](templates.md) has the rules, and files for chat and alert
        /// services.
        template: TemplateFile = "template", optional;
        /// The largest body that `template` may make, in bytes; 1024 to 67108864. An event whose
        /// body would be longer becomes a dead letter.
        max_body_bytes: Spanned<u64> = "maxBodyBytes", default(2_097_152);
        /// The attributes `source` and `type` of CloudEvents, as text with values in braces, for
        /// example `{"source": "/slurm/{/partition}", "type": "com.example.{state}"}`. Either may
        /// be absent. An event that came in as a CloudEvent keeps its own.
        cloud_events: CloudEventsFile = "cloudEvents", optional;
        /// How many events share a request; `{}` means the defaults. Null means that each event has a
        /// request of its own.
        batch: BatchFile = "batch", default(null);
        /// `reliable`: queued on disk and retried; kept as a dead letter if it is given up.
        /// `best-effort`: one attempt, nothing on disk, so that an event is lost if the receiver
        /// closes the kept connection as the request is sent.
        delivery: DeliveryText = "delivery", default("reliable");
        /// When a failed delivery is retried.
        retry: RetryFile = "retry", optional;
        /// When a receiver counts as down, and how often it is probed then.
        breaker: BreakerFile = "breaker", optional;
        /// The most concurrent attempts; 1 to 4096.
        concurrency: Spanned<u64> = "concurrency", default(16);
        /// The most events of this target that are in memory; 1 to 1048576. If absent, 4096, and
        /// 256 for `best-effort` without `batch`.
        window: Spanned<u64> = "window", optional;
        /// The most attempts started in a second; 1 to 1000000. One of a batch counts once for each of
        /// its events. Null means no bound.
        max_per_second: Spanned<u64> = "maxPerSecond", default(null);
        /// The most bytes of the queue that events owed to this target may take; 1 to
        /// 17592186044416. Over it, the target gets no new events, and other targets do. If absent
        /// or null, a single reliable target has no bound; with several, it is the number of free
        /// bytes: one target that accepts nothing takes half of the queue, two take a third each.
        max_owed_bytes: Spanned<u64> = "maxOwedBytes", default(null);
        /// What is kept of the deliveries to this target, so that they can be sent again to a receiver
        /// that has lost them (`webhookd dead-letters replay --delivered`). Null means nothing.
        retain: RetainFile = "retain", default(null);
        /// The most bytes of a response's body that are read; 1 to 67108864. If absent, 65536, or with
        /// `batch` 512 for each event of `maxEvents`, if that is more.
        max_response_bytes: Spanned<u64> = "maxResponseBytes", optional;
        /// The age in milliseconds at which a connection is replaced by a new one before the next
        /// request; 1 to 2147483647. A connection is also replaced when the receiver's name no
        /// longer has its address, which is looked up every 30 s.
        max_connection_age: Spanned<u64> = "maxConnectionAgeMsec", default(300_000);
        /// Signs deliveries by Standard Webhooks 1.0. Null means unsigned.
        signing: SigningFile = "signing", default(null);
        /// Obtains an access token by OAuth 2.0 client credentials, and sends it in the header
        /// `Authorization` of each request. Null means none. [operations.md](operations.md#oauth-20) says
        /// when it is renewed.
        oauth2: OAuth2File = "oauth2", default(null);
        /// The certificates that TLS connections trust and present.
        tls: TlsFile = "tls", optional;
        /// An HTTP proxy, `http://[user:password@]host:port`. Null means none; the proxy variables
        /// of the environment are ignored. A target with `https` is reached through a tunnel by
        /// CONNECT; requests to one with `http` go to the proxy in absolute form.
        proxy: ProxyText = "proxy", default(null);
    }
}

file_object! {
    /// Several events in one request. A request is sent at once while no other is under way; else an
    /// event waits for others, until a bound is reached. [operations.md](operations.md#batches) says what a
    /// receiver gets.
    struct BatchFile {
        /// The most events in a request; 1 to 1000, and at most a quarter of `window`.
        max_events: Spanned<u64> = "maxEvents", default(100);
        /// The most bytes of the events in a request, without what the format adds; 1024 to 4194304.
        /// A longer event is sent alone.
        max_bytes: Spanned<u64> = "maxBytes", default(1_048_576);
        /// The longest wait for more events while other requests are under way, in milliseconds; 0 to
        /// 60000.
        max_wait: Spanned<u64> = "maxWaitMsec", default(5);
    }
}

file_object! {
    /// What is kept of a target's deliveries. Those over a bound are removed, the oldest first; while
    /// less than an eighth of the queue is free, none is kept. All targets' `maxBytes`, together with
    /// `queue.deadLetters.maxBytes`, may be at most half of `queue.maxBytes`: the other half is for
    /// what is owed.
    struct RetainFile {
        /// How long a delivery is kept, in milliseconds; at least 1.
        max_age: Spanned<u64> = "maxAgeMsec", default(86_400_000);
        /// The most bytes of the queue that kept deliveries may take; 1 to 17592186044416.
        max_bytes: Spanned<u64> = "maxBytes", required;
    }
}

file_object! {
    /// When a failed delivery is retried: after a random time between 0 and min(`maxMsec`,
    /// `initialMsec` · `multiplier`^n), and not before `Retry-After`.
    struct RetryFile {
        /// The longest wait before the first retry, in milliseconds; at least 1.
        initial: Spanned<u64> = "initialMsec", default(1_000);
        /// The longest wait before any retry, in milliseconds; at least `initialMsec`.
        max: Spanned<u64> = "maxMsec", default(600_000);
        /// The factor by which the longest wait grows with each retry; 1 to 1000.
        multiplier: Spanned<f64> = "multiplier", default(2.0);
        /// The age at which an event is given up, in milliseconds; at least 1.
        max_age: Spanned<u64> = "maxAgeMsec", default(86_400_000);
        /// The number of attempts after which an event is given up. Null means no bound. An attempt
        /// on a kept connection that the receiver has just closed counts, so `1` can give an event
        /// up that never reached the receiver.
        max_attempts: Spanned<u64> = "maxAttempts", default(null);
    }
}

file_object! {
    /// The circuit breaker: when a receiver counts as down, and how often it is probed then.
    struct BreakerFile {
        /// The longest wait between two probes of a receiver that cannot be reached, in
        /// milliseconds; at least 1.
        max: Spanned<u64> = "maxMsec", default(30_000);
        /// The refusals (400, 413, 422) in a row, over distinct tasks, after which the target is
        /// held: its events are kept instead of becoming dead letters; 1 to 1000.
        max_refusals: Spanned<u64> = "maxRefusals", default(20);
    }
}

file_object! {
    /// Signatures by Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp` and
    /// `webhook-signature`.
    struct SigningFile {
        /// The secrets, each `whsec_` and the base64 of 24 to 64 bytes: a string, `{"env": NAME}`
        /// or `{"file": PATH}`. A delivery has one signature for each, so that a receiver can
        /// change its secret.
        secrets: Spanned<Vec<SecretFile>> = "secrets", required;
    }
}

file_object! {
    /// OAuth 2.0 client credentials (RFC 6749, section 4.4). The token is requested with the target's
    /// `timeoutMsec`, `responseTimeoutMsec`, `tls` and `proxy`. `headers` may have no `Authorization`.
    struct OAuth2File {
        /// The URL of the token endpoint: absolute, `http` or `https`. A string, `{"env": NAME}` or
        /// `{"file": PATH}`. Redirects are not followed.
        token_url: UrlText = "tokenURL", required;
        /// The client's id, sent with the secret as HTTP Basic credentials.
        client_id: Text = "clientId", required;
        /// The client's secret: a string, `{"env": NAME}` or `{"file": PATH}`.
        client_secret: SecretFile = "clientSecret", required;
        /// The scopes to ask for.
        scopes: Spanned<Vec<Text>> = "scopes", default([]);
        /// The parameter `audience`, which some authorization servers need. Null means that it is not sent.
        audience: Text = "audience", default(null);
    }
}

file_object! {
    /// The certificates that TLS connections trust and present.
    struct TlsFile {
        /// A file of PEM certificates to trust instead of the public authorities.
        ca_file: Text = "caFile", default(null);
        /// A file with the PEM client certificate and its chain.
        client_cert_file: Text = "clientCertFile", default(null);
        /// A file with the PEM private key of the client certificate.
        client_key_file: Text = "clientKeyFile", default(null);
        /// The PEM private key of the client certificate, instead of `clientKeyFile`: a string or
        /// `{"env": NAME}`.
        client_key: SecretFile = "clientKey", default(null);
    }
}

file_object! {
    /// The queue of undelivered events.
    struct QueueFile {
        /// The directory of the queue, relative to the directory of this file.
        dir: Text = "dir", default("webhook-queue");
        /// A PostgreSQL database that holds the queue, instead of `dir`. Every webhookd with the same
        /// database is a worker of one queue. [scale-out.md](scale-out.md) says when to use it.
        postgres: PostgresFile = "postgres", optional;
        /// The largest size of the queue on disk, or of its events in the database, in bytes;
        /// 1048576 to 17592186044416.
        max_bytes: Spanned<u64> = "maxBytes", default(17_179_869_184_u64);
        /// What happens to a new event when the queue is full or its disk fails: the source waits
        /// (`block`), or gets an error and keeps the event (`reject`).
        when_full: WhenFullText = "whenFull", default("block");
        /// How many dead letters are kept.
        dead_letters: DeadLettersFile = "deadLetters", optional;
        /// The most keys whose last state is known, for inputs with `onlyChanges`; 0 to 100000000.
        /// Those that were not changed for longest are forgotten, and their next event counts as a
        /// change. They take at most a sixteenth of `maxBytes`, at 600 bytes a key.
        max_last_states: Spanned<u64> = "maxLastStates", default(100_000_u64);
    }
}

file_object! {
    /// A queue in a PostgreSQL database. The first worker creates its tables; `webhookd queue
    /// schema` prints them for an administrator, if the user may not.
    struct PostgresFile {
        /// The database: `postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full`, or
        /// keywords and values as in libpq. A string, `{"env": NAME}` or `{"file": PATH}`, which
        /// keep the password out of this file. Parameters are `application_name`,
        /// `channel_binding`, `connect_timeout` (s), `options` and `sslmode` (`disable`, `prefer`,
        /// `require`, `verify-ca`, `verify-full`; if absent, `verify-full` with `tls`, else
        /// `prefer`). A directory as the host is a Unix socket's.
        url: SecretFile = "url", required;
        /// The schema of the tables: 1 to 63 of the characters `a-z 0-9 _`. Each has a queue of
        /// its own.
        schema: Text = "schema", default("webhook");
        /// The number of slots that keys are divided into; 1 to 1024. Deliveries are divided among
        /// at most as many workers. It takes effect when the tables are created, and is the same
        /// for all workers.
        slots: Spanned<u64> = "slots", default(64);
        /// The time in milliseconds after which other workers take over the slots of a lost worker;
        /// 1000 to 600000.
        lease: Spanned<u64> = "leaseMsec", default(5_000);
        /// The time in milliseconds between two searches for events that other workers have accepted;
        /// 1 to 1000.
        poll: Spanned<u64> = "pollMsec", default(5);
        /// The certificates that connections to the database trust and present.
        tls: TlsFile = "tls", optional;
        /// The directory of the files that each worker keeps on its machine, relative to the
        /// directory of this file: the admin API's socket, rejects, the positions of followed files
        /// and streams. Each worker on one machine needs its own: `--state-dir`.
        state_dir: Text = "stateDir", default("webhook-state");
    }
}

file_object! {
    /// How many dead letters of all targets are kept. Those over a bound are removed, and counted
    /// by `webhookd_dead_letters_removed_total`: the oldest of the target that has most bytes of
    /// them first.
    struct DeadLettersFile {
        /// The most bytes that dead letters may take; 0 to 17592186044416. If absent, a quarter of
        /// `queue.maxBytes`.
        max_bytes: Spanned<u64> = "maxBytes", optional;
        /// The most dead letters; 0 to 1000000000.
        max_count: Spanned<u64> = "maxCount", default(1_000_000);
        /// How long a dead letter is kept after its event was given up, in milliseconds; at least 1.
        max_age: Spanned<u64> = "maxAgeMsec", default(2_592_000_000_u64);
    }
}

file_object! {
    /// Where the events about webhookd itself are sent.
    struct NoticesFile {
        /// The name of the target that gets them, a reliable one. It gets them besides the events of
        /// its `inputs`: with `"inputs": []`, it gets them alone. Other targets get them only
        /// if their `inputs` name `"notices"`. There are none about this target.
        target: Text = "target", required;
    }
}

file_object! {
    /// A reference to a secret.
    struct ReferenceFile {
        /// The environment variable with the secret.
        env: Text = "env", optional;
        /// The file with the secret, relative to the directory of this file; one trailing line
        /// break is removed.
        file: Text = "file", optional;
    }
}

/// A target's URL, or a reference to it. Like Aurora, it accepts any scalar as text.
#[derive(Clone)]
pub(crate) enum UrlText {
    Literal(Spanned<String>),
    Reference(SecretFile),
}

impl UrlText {
    pub(crate) fn span(&self) -> &Span {
        match self {
            UrlText::Literal(text) => &text.span,
            UrlText::Reference(secret) => &secret.span,
        }
    }
}

impl FromValue for UrlText {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        if let Kind::Object(_) = &value.kind {
            return SecretFile::from_value(value, reader).map(UrlText::Reference);
        }
        let Some(text) = scalar_text(value) else {
            reader.wrong_type(value, "a URL in a string");
            return None;
        };
        show_url(value, reader);
        Some(UrlText::Literal(Spanned {
            value: text.to_owned(),
            span: value.span.clone(),
        }))
    }
}

impl std::fmt::Debug for UrlText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            UrlText::Literal(_) => f.write_str("Literal(***)"),
            UrlText::Reference(secret) => f.debug_tuple("Reference").field(secret).finish(),
        }
    }
}

/// A template of the body, not yet parsed.
#[derive(Clone, Debug)]
pub(crate) struct TemplateFile(pub(crate) Value);

impl FromValue for TemplateFile {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        if !matches!(value.kind, Kind::Object(_) | Kind::Array(_)) {
            reader.wrong_type(value, "an object or a list");
            return None;
        }
        Some(TemplateFile(value.clone()))
    }
}

/// Templates of a CloudEvent's attributes, not yet parsed.
#[derive(Clone, Debug)]
pub(crate) struct CloudEventsFile(pub(crate) Value);

impl FromValue for CloudEventsFile {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        if !matches!(value.kind, Kind::Object(_)) {
            reader.wrong_type(value, "an object");
            return None;
        }
        Some(CloudEventsFile(value.clone()))
    }
}

/// The text of a proxy's URL.
#[derive(Clone, Debug)]
pub(crate) struct ProxyText(pub(crate) Spanned<String>);

impl FromValue for ProxyText {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        let Kind::String(text) = &value.kind else {
            reader.wrong_type(value, "a URL in a string");
            return None;
        };
        show_url(value, reader);
        Some(ProxyText(Spanned {
            value: text.clone(),
            span: value.span.clone(),
        }))
    }
}

/// Lets a URL be shown, unless it may hold a password.
fn show_url(value: &Value, reader: &mut Reader) {
    if !matches!(&value.kind, Kind::String(text) if may_hold_password(text)) {
        reader.show(value);
    }
}

/// Whether there is an `@`, or a text that is not a port after the last colon: it may be a password
/// whose `@` was lost, for example to a stray quotation mark.
fn may_hold_password(url: &str) -> bool {
    let rest = url.split_once("//").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let behind_colon = authority.rsplit_once(':').map_or("", |(_, port)| port);
    let is_port = behind_colon.bytes().all(|byte| byte.is_ascii_digit());
    // The last colon may be within an IPv6 address.
    url.contains('@') || !(is_port || behind_colon.ends_with(']'))
}

/// The text of a scalar. Aurora accepted any scalar as a string.
fn scalar_text(value: &Value) -> Option<&str> {
    match &value.kind {
        Kind::String(text) | Kind::Number(text) => Some(text),
        Kind::Bool(true) => Some("true"),
        Kind::Bool(false) => Some("false"),
        Kind::Null | Kind::Array(_) | Kind::Object(_) => None,
    }
}

/// The headers of a target in the order of the file. Of a repeated name, the last one counts.
#[derive(Debug)]
pub(crate) struct HeadersFile {
    pub(crate) headers: Vec<HeaderFile>,
}

/// A header.
#[derive(Debug)]
pub(crate) struct HeaderFile {
    pub(crate) key: Key,
    pub(crate) span: Span,
    /// `None` for null.
    pub(crate) value: Option<SecretFile>,
}

impl FromValue for HeadersFile {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        let Kind::Object(members) = &value.kind else {
            reader.wrong_type(value, "an object of header names and values");
            return None;
        };
        let mut headers: Vec<HeaderFile> = Vec::new();
        let mut places = HashMap::new();
        let mut is_whole = true;
        for Member { key, value } in members {
            let read = if value.is_null() {
                Some(None)
            } else {
                header_value(value, reader).map(Some)
            };
            let Some(read) = read else {
                is_whole = false;
                continue;
            };
            let header = HeaderFile {
                key: key.clone(),
                span: value.span.clone(),
                value: read,
            };
            match places.entry(key.text.as_str()) {
                Entry::Vacant(entry) => {
                    entry.insert(headers.len());
                    headers.push(header);
                }
                Entry::Occupied(entry) => {
                    let name = shorten(&key.text);
                    let message =
                        format!("header `{name}` is given more than once; the last one counts");
                    let help = "remove the others";
                    reader.warning(Code::DuplicateKey, &key.span, message, help);
                    headers[*entry.get()] = header;
                }
            }
        }
        is_whole.then_some(HeadersFile { headers })
    }
}

/// A header's value. Like Aurora, it accepts any scalar.
fn header_value(value: &Value, reader: &mut Reader) -> Option<SecretFile> {
    let (Kind::Number(_) | Kind::Bool(_)) = &value.kind else {
        return SecretFile::from_value(value, reader);
    };
    let message = format!(
        "{} where a string should be; sent as written",
        value.kind_name()
    );
    reader.warning(
        Code::SloppyType,
        &value.span,
        message,
        "put it in double quotes",
    );
    let from = SecretFrom::Literal(scalar_text(value)?.to_owned());
    Some(SecretFile {
        span: value.span.clone(),
        from,
    })
}

/// A secret, or a reference to it.
#[derive(Clone, Debug)]
pub(crate) struct SecretFile {
    pub(crate) span: Span,
    pub(crate) from: SecretFrom,
}

/// A secret or its source.
#[derive(Clone)]
pub(crate) enum SecretFrom {
    Literal(String),
    Env(Spanned<String>),
    File(Spanned<String>),
}

impl std::fmt::Debug for SecretFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SecretFrom::Literal(_) => f.write_str("Literal(***)"),
            SecretFrom::Env(name) => f.debug_tuple("Env").field(&name.value).finish(),
            SecretFrom::File(path) => f.debug_tuple("File").field(&path.value).finish(),
        }
    }
}

impl FromValue for SecretFile {
    fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
        let span = value.span.clone();
        let from = match &value.kind {
            Kind::String(text) => SecretFrom::Literal(text.clone()),
            Kind::Object(_) => {
                let reference = ReferenceFile::from_value(value, reader)?;
                let help = "write {\"env\": NAME} or {\"file\": PATH}";
                match (reference.env, reference.file) {
                    (Slot::Bad, _) | (_, Slot::Bad) => return None,
                    (env, file) => match (env.given(), file.given()) {
                        (Some(Text(env)), None) => SecretFrom::Env(env),
                        (None, Some(Text(file))) => SecretFrom::File(file),
                        (Some(_), Some(_)) => {
                            let message = "`env` and `file` exclude each other";
                            reader.error(Code::ConflictingKeys, &span, message, help);
                            return None;
                        }
                        (None, None) => {
                            let message = "neither `env` nor `file` is given";
                            reader.error(Code::MissingKey, &span, message, help);
                            return None;
                        }
                    },
                }
            }
            _ => {
                reader.wrong_type(value, "a string, {\"env\": NAME} or {\"file\": PATH}");
                return None;
            }
        };
        Some(SecretFile { span, from })
    }
}

/// Declares the type of a key whose values are the names of an enum's variants.
macro_rules! choice {
    ($(#[$doc:meta])* $Name:ident of $Enum:ty, $code:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $Name(pub(crate) $Enum);

        impl FromValue for $Name {
            fn from_value(value: &Value, reader: &mut Reader) -> Option<Self> {
                let Text(text) = Text::from_value(value, reader)?;
                let names = || <$Enum>::ALL.iter().map(|choice| choice.name());
                let choice = <$Enum>::ALL.iter().find(|choice| choice.name() == text.value);
                if choice.is_none() {
                    let name = shorten(&text.value);
                    let message = format!("unknown {} `{name}`", $what);
                    let help = match super::suggest::nearest(&text.value, names()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => {
                            let names: Vec<_> = names().map(|name| format!("`{name}`")).collect();
                            format!("one of {}", names.join(", "))
                        }
                    };
                    reader.error(Code::$code, &text.span, message, help);
                }
                choice.copied().map($Name)
            }
        }
    };
}

choice!(FormatText of crate::Format, UnknownFormat, "format");
choice!(MethodText of crate::Method, UnknownMethod, "method of a request");
choice!(DeliveryText of crate::Delivery, UnknownDelivery, "kind of delivery");
choice!(WhenFullText of crate::WhenFull, UnknownWhenFull, "behaviour of a full queue");
