//! Converts the sources.

use super::context::{Context, number, opening, required};
use super::credentials::convert_tls;
use super::headers::convert_headers;
use super::inputs::FileInputs;
use super::url::{hide_tokens, hide_userinfo, raw};
use crate::diagnostic::Code;
use crate::file::mirror::{HeadersFile, TlsFile, UrlText};
use crate::file::object::shorten;
use crate::file::read::{Reader, Slot, Spanned, Text};
use crate::file::sources::{KubernetesFile, ReconnectFile, SourceFile, StreamFile};
use crate::file::url_check;
use crate::input::InputName;
use crate::json::Span;
use crate::kubernetes::{Kubernetes, Resource, is_label};
use crate::limits;
use crate::name::TargetName;
use crate::retry::RetryPolicy;
use crate::source::{Source, SourceKind};
use crate::stream::{Connection, Stream, StreamUrl};
use crate::tls::Tls;
use std::collections::HashSet;
use std::time::Duration;
use webhook_event::Pointer;

/// The folder of a service account, in each container of a cluster.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Converts all sources; those that are wrong are reported and left out.
pub(super) fn convert_sources(
    list: Spanned<Vec<SourceFile>>,
    inputs: &FileInputs,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Vec<Source> {
    let mut names = HashSet::new();
    let mut sources = Vec::new();
    for file in list.value {
        let brace = opening(&file.span);
        let Some(source) = convert_source(file, inputs, context, reader) else {
            continue;
        };
        if names.insert(source.name.clone()) {
            sources.push(source);
        } else {
            let message = format!("another source is named `{}` too", source.name);
            let help = "give each source a `name` of its own: it identifies the cursor";
            reader.error(Code::DuplicateName, &brace, message, help);
        }
    }
    sources
}

fn convert_source(
    file: SourceFile,
    inputs: &FileInputs,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<Source> {
    let brace = opening(&file.span);
    let input = file.input.given().map(|Text(input)| input);
    if let Some(name) = &input {
        inputs.check_open(name, reader);
    }
    let input = input.filter(|input| input.value != InputName::DEFAULT);
    let name = match file.name.given() {
        Some(Text(name)) => name,
        None => Spanned {
            value: input
                .as_ref()
                .map_or_else(|| "default".to_owned(), |input| input.value.clone()),
            span: brace.clone(),
        },
    };
    if let Err(error) = TargetName::new(name.value.as_str()) {
        let message = "not a valid name of a source";
        reader.error(Code::InvalidName, &name.span, message, error.to_string());
        return None;
    }
    let help = "write either `stream` or `kubernetes`";
    let kind = match (file.stream, file.kubernetes) {
        (Slot::Given(_), Slot::Given(_)) => {
            let message = "`stream` and `kubernetes` exclude each other";
            reader.error(Code::ConflictingKeys, &brace, message, help);
            return None;
        }
        (Slot::Given(stream), _) => SourceKind::Stream(convert_stream(stream, context, reader)?),
        (_, Slot::Given(kubernetes)) => {
            SourceKind::Kubernetes(convert_kubernetes(kubernetes, context, reader)?)
        }
        (Slot::Bad, _) | (_, Slot::Bad) => return None,
        _ => {
            if !context.is_partial {
                let message = "neither `stream` nor `kubernetes` is given";
                reader.error(Code::MissingKey, &brace, message, help);
            }
            return None;
        }
    };
    Some(Source {
        name: name.value,
        input: input.map(|input| input.value),
        kind,
    })
}

fn convert_stream(file: StreamFile, context: &Context<'_>, reader: &mut Reader) -> Option<Stream> {
    let brace = opening(&file.span);
    let what = "a URL such as \"http://127.0.0.1:4646/v1/event/stream?index={cursor}\"";
    let url = required(file.url, "url", what, &brace, context, reader);
    let place = match &url {
        Some(UrlText::Literal(text)) => text.span.clone(),
        Some(UrlText::Reference(secret)) => secret.span.clone(),
        None => brace,
    };
    let url = url.and_then(|url| stream_url(url, context, reader));
    let cursor = file.cursor.given().map(|Text(cursor)| cursor);
    let pointer = match &cursor {
        Some(cursor) => Some(pointer(cursor, reader)?),
        None => None,
    };
    match (&cursor, url.as_ref().map(StreamUrl::has_cursor)) {
        (Some(cursor), Some(false)) => {
            let message = "`cursor` has no effect: the URL does not contain `{cursor}`";
            let help = "add a parameter with {cursor} to `url`, or remove `cursor`";
            reader.warning(Code::Ineffective, &cursor.span, message, help);
        }
        (None, Some(true)) => {
            let message = "the URL contains `{cursor}`, and `cursor` is missing";
            let help = "add `cursor`: the JSON Pointer to a document's cursor, such as \"/Index\"";
            reader.error(Code::IncompleteKeys, &place, message, help);
        }
        _ => {}
    }
    let connection = connection(
        ConnectionFile {
            headers: file.headers,
            token_file: file.token_file.given().map(|Text(path)| path),
            tls: file.tls.given(),
            timeout: file.timeout,
            silence: file.silence,
            default_silence: 90_000,
            retry: file.retry,
        },
        context,
        reader,
    );
    Some(Stream {
        url: url?,
        cursor: pointer,
        initial_cursor: file
            .initial_cursor
            .given()
            .map(|Text(text)| text.value)
            .unwrap_or_default(),
        repeats_cursor: file.repeats_cursor.given().unwrap_or(false),
        connection: connection?,
    })
}

fn stream_url(url: UrlText, context: &Context<'_>, reader: &mut Reader) -> Option<StreamUrl> {
    match url {
        UrlText::Literal(text) => {
            hide_userinfo(&text, context, reader);
            hide_tokens(&text, "url", context, reader);
            literal_url(&text, context, reader)
        }
        UrlText::Reference(secret) => {
            let resolved = context.surroundings.secret(&secret, reader)?;
            match StreamUrl::parse(&resolved.text) {
                Ok(url) => Some(url.into_secret()),
                Err(error) => {
                    let message = format!("not a URL that can be requested: {error}");
                    let help = "the variable or file holds the URL and no more";
                    reader.error(Code::InvalidUrl, &secret.span, message, help);
                    None
                }
            }
        }
    }
}

/// Reads a URL that is written in the file.
fn literal_url(
    text: &Spanned<String>,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<StreamUrl> {
    let url = match StreamUrl::parse(&text.value) {
        Ok(url) => url,
        Err(error) => {
            url_check::report(&error, text, raw(&text.span, context), reader);
            return None;
        }
    };
    if url.at("").is_ok_and(|url| url.had_userinfo()) {
        let message = "the user name and password of the URL are not sent";
        let help = "use the header `Authorization`, or `tokenFile`";
        reader.error(Code::UrlCredentials, &text.span, message, help);
        return None;
    }
    Some(url)
}

/// Reads a pointer, and reports why a text is not one.
fn pointer(text: &Spanned<String>, reader: &mut Reader) -> Option<Pointer> {
    match text.value.parse() {
        Ok(pointer) => Some(pointer),
        Err(error) => {
            let message = format!("`{}` is not a JSON Pointer", shorten(&text.value));
            let help = format!("{error}; such as \"/Index\"");
            reader.error(Code::OutOfRange, &text.span, message, help);
            None
        }
    }
}

fn convert_kubernetes(
    file: KubernetesFile,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<Kubernetes> {
    let brace = opening(&file.span);
    let in_cluster = !file.server.is_given();
    let server = match file.server {
        Slot::Given(Text(text)) => {
            hide_userinfo(&text, context, reader);
            let url = literal_url(&text, context, reader);
            let is_base = |url: &StreamUrl| !url.to_string().contains(['?', '#', '{']);
            if url.as_ref().is_some_and(|url| !is_base(url)) {
                let message = "the server's URL has a query, a fragment or a placeholder";
                let help = "name the server alone, such as https://10.0.0.1:6443";
                reader.error(Code::InvalidUrl, &text.span, message, help);
            }
            url
        }
        Slot::Bad => None,
        _ => server_of_cluster(&brace, context, reader),
    };
    let what = "a list such as [\"pods\", \"jobs.batch\"]";
    let resources = required(file.resources, "resources", what, &brace, context, reader);
    let resources = resources.map(|list| convert_resources(&list, reader));
    let namespace = file.namespace.given().map(|Text(namespace)| namespace);
    if let Some(namespace) = &namespace
        && !is_label(&namespace.value)
    {
        let message = format!("`{}` is not a namespace", shorten(&namespace.value));
        let help = "1 to 63 of the characters a-z 0-9 -";
        reader.error(Code::InvalidName, &namespace.span, message, help);
    }
    let of_account = |name: &str| Spanned {
        value: format!("{SERVICE_ACCOUNT}/{name}"),
        span: brace.clone(),
    };
    let token_file = match file.token_file.given() {
        Some(Text(path)) => Some(path),
        None => in_cluster.then(|| of_account("token")),
    };
    let mut tls = file.tls.given();
    if in_cluster && !tls.as_ref().is_some_and(|tls| tls.ca_file.is_given()) {
        let tls = tls.get_or_insert_default();
        tls.ca_file = Slot::Given(Text(of_account("ca.crt")));
    }
    let page_size = number(&file.page_size, limits::PAGE_SIZE, "pageSize", reader);
    let most = limits::PAGE_BYTES;
    let max_page_bytes = number(&file.max_page_bytes, most, "maxPageBytes", reader);
    let max_objects = number(&file.max_objects, limits::OBJECTS, "maxObjects", reader);
    let connection = connection(
        ConnectionFile {
            headers: file.headers,
            token_file,
            tls,
            timeout: file.timeout,
            silence: file.silence,
            default_silence: 300_000,
            retry: file.retry,
        },
        context,
        reader,
    );
    let size = |given: Option<u64>, default: usize| {
        given
            .and_then(|it| usize::try_from(it).ok())
            .unwrap_or(default)
    };
    Some(Kubernetes {
        server: server?,
        resources: resources?,
        namespace: namespace.map(|namespace| namespace.value),
        label_selector: file.label_selector.given().map(|Text(text)| text.value),
        field_selector: file.field_selector.given().map(|Text(text)| text.value),
        page_size: page_size
            .and_then(|it| u32::try_from(it).ok())
            .unwrap_or(500),
        max_page_bytes: size(max_page_bytes, 64 << 20),
        max_objects: size(max_objects, 100_000),
        connection: connection?,
    })
}

/// The API server, as the environment of a container tells.
fn server_of_cluster(
    brace: &Span,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<StreamUrl> {
    let variable = |name: &str| {
        let value = (context.surroundings.env)(name)?.into_string().ok()?;
        (!value.is_empty()).then_some(value)
    };
    let port = variable("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
    let Some(host) = variable("KUBERNETES_SERVICE_HOST") else {
        if !context.surroundings.without_secrets {
            let message = "`server` is missing, and KUBERNETES_SERVICE_HOST is not set";
            let help = "run in a cluster, or add `server`, such as \"https://10.0.0.1:6443\"";
            reader.error(Code::MissingKey, brace, message, help);
        }
        return None;
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    let url = StreamUrl::parse(&format!("https://{host}:{port}"));
    if url.is_err() {
        let message = "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT name no server";
        reader.error(Code::InvalidUrl, brace, message, "add `server`");
    }
    url.ok()
}

fn convert_resources(list: &Spanned<Vec<Text>>, reader: &mut Reader) -> Vec<Resource> {
    let mut resources: Vec<Resource> = Vec::new();
    for Text(text) in &list.value {
        match Resource::parse(&text.value) {
            Ok(resource) if resources.contains(&resource) => {
                let message = format!("`{resource}` is listed twice");
                reader.error(
                    Code::DuplicateName,
                    &text.span,
                    message,
                    "remove one of them",
                );
            }
            Ok(resource) => resources.push(resource),
            Err(error) => {
                let message = format!("`{}` is not a resource type", shorten(&text.value));
                reader.error(Code::InvalidName, &text.span, message, error.to_string());
            }
        }
    }
    if list.value.is_empty() {
        let message = "`resources` is empty";
        let help = "add a resource type, such as \"pods\"";
        reader.error(Code::MissingKey, &list.span, message, help);
    }
    resources
}

/// The keys of a connection, which both kinds of source have.
struct ConnectionFile {
    headers: Slot<HeadersFile>,
    token_file: Option<Spanned<String>>,
    tls: Option<TlsFile>,
    timeout: Slot<Spanned<u64>>,
    silence: Slot<Spanned<u64>>,
    default_silence: u64,
    retry: Slot<ReconnectFile>,
}

fn connection(
    file: ConnectionFile,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<Connection> {
    let headers = match file.headers {
        Slot::Given(headers) => convert_headers(headers, None, context, reader),
        Slot::Bad => None,
        _ => Some(Vec::new()),
    };
    let mut given = headers.iter().flatten();
    let is_authorized = given.any(|header| *header.name() == http::header::AUTHORIZATION);
    let token_file = file.token_file.map(|path| {
        if is_authorized {
            let message = "`tokenFile` and the header `Authorization` exclude each other";
            reader.error(
                Code::ConflictingKeys,
                &path.span,
                message,
                "remove one of them",
            );
        }
        // It is read for each connection; here it is only checked.
        context.surroundings.file_text(&path, reader);
        context.surroundings.path(&path.value)
    });
    let tls = file
        .tls
        .map_or_else(Tls::default, |tls| convert_tls(tls, context, reader));
    let most = limits::TIMEOUT_MSEC;
    let timeout = number(&file.timeout, most, "timeoutMsec", reader).unwrap_or(10_000);
    let silence = number(&file.silence, most, "silenceMsec", reader);
    let silence = silence.unwrap_or(file.default_silence);
    Some(Connection {
        headers: headers?,
        token_file,
        tls,
        timeout: Duration::from_millis(timeout),
        silence: Duration::from_millis(silence),
        retry: reconnect(file.retry, reader)?,
    })
}

fn reconnect(file: Slot<ReconnectFile>, reader: &mut Reader) -> Option<RetryPolicy> {
    let file = file.given().unwrap_or_default();
    let most = limits::RETRY_MSEC;
    let initial = number(&file.initial, most, "initialMsec", reader).unwrap_or(1_000);
    let max = number(&file.max, most, "maxMsec", reader).unwrap_or(initial.max(30_000));
    let msec = Duration::from_millis;
    // It has no bound: each connection may succeed.
    let policy = RetryPolicy::new(msec(initial), msec(max), 2.0, msec(most.most), None);
    if let Err(error) = &policy {
        let help = "`initialMsec` is at most `maxMsec`";
        reader.error(
            Code::InvalidRetry,
            &opening(&file.span),
            error.to_string(),
            help,
        );
    }
    policy.ok()
}
