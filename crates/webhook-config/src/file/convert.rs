//! From the mirror to types that cannot be wrong.

use super::mirror::{
    ConfigFile, HeaderFile, HeadersFile, QueueFile, RetryFile, SigningFile, TargetFile, TlsFile,
};
use super::object::shorten;
use super::read::{Milliseconds, Reader, Slot, Spanned, Text};
use super::resolve::Surroundings;
use super::suggest::nearest;
use super::url_check;
use crate::Config;
use crate::aurora::statuses::StatusList;
use crate::diagnostic::Code;
use crate::filter::{JobFilter, StatusFilter};
use crate::header::{Header, InvalidHeader, check_name};
use crate::json::Span;
use crate::limits::{self, Limits};
use crate::name::TargetName;
use crate::queue::QueueSettings;
use crate::retry::{InvalidRetry, RetryPolicy};
use crate::secret::looks_secret;
use crate::signing::{Signing, SigningSecret};
use crate::target::{Delivery, Format, Target};
use crate::tls::{self, ClientIdentity, Tls};
use crate::url::TargetUrl;
use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;
use webhook_model::ScheduleStatus;

/// What conversions need besides the mirror.
pub(crate) struct Context<'a> {
    pub(crate) text: &'a str,
    /// Whether the file ends in an error of syntax, so that a missing key may only be unread.
    pub(crate) is_partial: bool,
    pub(crate) surroundings: &'a Surroundings<'a>,
}

/// The configuration, if nothing is wrong with it. All that is wrong has been reported.
pub(crate) fn config(
    file: ConfigFile,
    target: TargetFile,
    target_keys: &[Span],
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<Config> {
    let mut targets = Vec::new();
    match file.targets {
        Slot::Absent | Slot::Null(_) => targets.push(convert_target(target, context, reader)),
        Slot::Bad => {}
        Slot::Given(list) => {
            for key in target_keys {
                let message = "this key belongs to a target, and `targets` is given too";
                let help = "move it into an object of `targets`";
                reader
                    .problems
                    .error(Code::ConflictingKeys, key, message, help);
            }
            if list.value.is_empty() {
                let message = "there is no target";
                reader
                    .problems
                    .error(Code::NoTargets, &list.span, message, "add one");
            }
            check_names(&list.value, reader);
            for target in list.value {
                targets.push(convert_target(target, context, reader));
            }
        }
    }
    let queue = queue(file.queue, context, reader);
    let max_event_bytes = number(
        &file.max_event_bytes,
        limits::MAX_EVENT_BYTES,
        "maxEventBytes",
        reader,
    );
    let mut builder = Config::builder().queue(queue);
    if let Some(bytes) = max_event_bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
        builder = builder.max_event_bytes(bytes);
    }
    for target in targets {
        builder = builder.target(target?);
    }
    // Each of the builder's checks has been made above, with a place.
    builder.build().ok()
}

/// No two targets have the same name; one without a name is called `default`.
fn check_names(targets: &[TargetFile], reader: &mut Reader) {
    let default = TargetName::default();
    let mut first: HashMap<&str, ()> = HashMap::new();
    for target in targets {
        let (name, span) = match &target.name {
            Slot::Given(Text(name)) => (name.value.as_str(), &name.span),
            Slot::Bad => continue,
            Slot::Absent | Slot::Null(_) => (default.as_str(), &target.span),
        };
        if first.insert(name, ()).is_some() {
            let message = format!("another target is named `{}` too", shorten(name));
            let help = "give each target a `name` of its own: it keys the queue and the metrics";
            reader
                .problems
                .error(Code::DuplicateName, &place_of(span, target), message, help);
        }
    }
}

/// The name's own place, or the opening brace of a target without one.
fn place_of(span: &Span, target: &TargetFile) -> Span {
    if *span == target.span {
        opening(span)
    } else {
        span.clone()
    }
}

fn opening(object: &Span) -> Span {
    object.start..object.start + 1
}

fn convert_target(file: TargetFile, context: &Context<'_>, reader: &mut Reader) -> Option<Target> {
    let brace = opening(&file.span);
    let url_text = required(
        file.url,
        "targetURL",
        "a URL such as \"http://localhost:5000/\"",
        &brace,
        context,
        reader,
    );
    let url = url_text.and_then(|url| {
        hide_userinfo(&url.0, context, reader);
        url_check::target_url(&url.0, raw(&url.0.span, context), reader)
    });
    let headers = required(
        file.headers,
        "headers",
        "an object, {} if there are none",
        &brace,
        context,
        reader,
    );
    let headers = headers.and_then(|headers| convert_headers(headers, context, reader));
    let timeout = required(
        file.timeout,
        "timeoutMsec",
        "a number of milliseconds such as 5000",
        &brace,
        context,
        reader,
    );
    let connect_timeout = timeout.and_then(|timeout| connect_timeout(&timeout, reader));
    let name = match file.name {
        Slot::Given(Text(name)) => target_name(&name, reader),
        _ => Some(TargetName::default()),
    };
    let response_timeout = number(
        &file.response_timeout,
        limits::TIMEOUT_MSEC,
        "responseTimeoutMsec",
        reader,
    );
    let statuses = file
        .statuses
        .given()
        .map(|list| statuses(&list, reader))
        .unwrap_or_default();
    let jobs = file
        .jobs
        .given()
        .map(|list| jobs(&list, reader))
        .unwrap_or_default();
    let delivery = file
        .delivery
        .as_given()
        .map_or(Delivery::default(), |delivery| delivery.0);
    if let (Delivery::BestEffort, Slot::Given(retry)) = (delivery, &file.retry) {
        let message = "`retry` has no effect: a best-effort delivery is tried once";
        let help = "remove `retry`, or set `delivery` to \"reliable\"";
        reader
            .problems
            .warning(Code::Ineffective, &opening(&retry.span), message, help);
    }
    let retry = file
        .retry
        .given()
        .map(|retry| convert_retry(&retry, reader))
        .unwrap_or_default();
    let concurrency = number(
        &file.concurrency,
        limits::CONCURRENCY,
        "concurrency",
        reader,
    );
    let window = number(&file.window, limits::WINDOW, "window", reader);
    let max_per_second = number(
        &file.max_per_second,
        limits::MAX_PER_SECOND,
        "maxPerSecond",
        reader,
    );
    let max_response_bytes = number(
        &file.max_response_bytes,
        limits::MAX_RESPONSE_BYTES,
        "maxResponseBytes",
        reader,
    );
    let signing = file
        .signing
        .given()
        .and_then(|signing| convert_signing(signing, context, reader));
    let tls_place = file.tls.as_given().map(|tls| opening(&tls.span));
    let tls = file
        .tls
        .given()
        .map(|tls| convert_tls(tls, context, reader))
        .unwrap_or_default();
    if let (Some(place), Some(url)) = (tls_place, &url)
        && !tls.is_default()
        && url.as_uri().scheme() == Some(&http::uri::Scheme::HTTP)
    {
        let message = "`tls` has no effect: the URL is not https";
        reader.problems.warning(
            Code::Ineffective,
            &place,
            message,
            "use https, or remove `tls`",
        );
    }
    let proxy = file.proxy.given().and_then(|proxy| {
        hide_userinfo(&proxy.0, context, reader);
        url_check::proxy_url(&proxy.0, raw(&proxy.0.span, context), reader)
    });
    let format = file
        .format
        .as_given()
        .map_or(Format::default(), |format| format.0);
    let url: TargetUrl = url?;
    let mut builder = Target::builder(url)
        .name(name?)
        .headers(headers?)
        .connect_timeout(connect_timeout?)
        .statuses(statuses)
        .jobs(jobs)
        .initial_events(file.initial_events.given().unwrap_or(true))
        .format(format)
        .delivery(delivery)
        .retry(retry)
        .max_per_second(max_per_second.and_then(|rate| NonZeroU32::new(u32::try_from(rate).ok()?)))
        .signing(signing)
        .tls(tls)
        .proxy(proxy);
    if let Some(timeout) = response_timeout {
        builder = builder.response_timeout(Duration::from_millis(timeout));
    }
    if let Some(concurrency) = concurrency.and_then(non_zero) {
        builder = builder.concurrency(concurrency);
    }
    if let Some(window) = window.and_then(non_zero) {
        builder = builder.window(window);
    }
    if let Some(bytes) = max_response_bytes {
        builder = builder.max_response_bytes(bytes);
    }
    builder.build().ok()
}

fn non_zero(number: u64) -> Option<NonZeroUsize> {
    NonZeroUsize::new(usize::try_from(number).ok()?)
}

/// The value of a required key; its absence is reported at the object's brace.
fn required<T>(
    slot: Slot<T>,
    key: &str,
    what: &str,
    brace: &Span,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<T> {
    match slot {
        Slot::Given(value) => return Some(value),
        Slot::Absent if !context.is_partial => {
            let message = format!("the key `{key}` is missing");
            let help = format!("add `{key}`: {what}");
            reader
                .problems
                .error(Code::MissingKey, brace, message, help);
        }
        Slot::Null(span) => {
            let message = format!("`{key}` is null");
            reader
                .problems
                .error(Code::MissingKey, &span, message, format!("give it {what}"));
        }
        Slot::Absent | Slot::Bad => {}
    }
    None
}

/// A number within its limits, if one is given.
fn number(
    slot: &Slot<Spanned<u64>>,
    limits: Limits,
    key: &str,
    reader: &mut Reader,
) -> Option<u64> {
    let Spanned { value, span } = slot.as_given()?;
    if limits.contains(*value) {
        return Some(*value);
    }
    let message = format!("`{key}` is out of range");
    let help = format!("from {} to {}", limits.least, limits.most);
    reader.problems.error(Code::OutOfRange, span, message, help);
    None
}

/// The text of the file at a place.
fn raw<'a>(span: &Span, context: &Context<'a>) -> &'a str {
    context.text.get(span.clone()).unwrap_or_default()
}

/// Masks the user name and password of a URL, which end at its last `@`.
fn hide_userinfo(url: &Spanned<String>, context: &Context<'_>, reader: &mut Reader) {
    let raw = raw(&url.span, context);
    // Behind an escape, the `@` is not where it seems to be: then all of it stays masked.
    if !raw.contains('\\')
        && let Some(end) = raw.rfind('@')
    {
        let start = raw.find("//").map_or(1, |at| at + 2).min(end);
        reader.show_at(&url.span);
        reader
            .hidden
            .push(url.span.start + start..url.span.start + end);
    }
}

fn target_name(name: &Spanned<String>, reader: &mut Reader) -> Option<TargetName> {
    TargetName::new(name.value.as_str())
        .map_err(|error| {
            let message = "this is not a name";
            reader
                .problems
                .error(Code::InvalidName, &name.span, message, error.to_string());
        })
        .ok()
}

fn connect_timeout(timeout: &Milliseconds, reader: &mut Reader) -> Option<Duration> {
    let Milliseconds { span, value } = timeout;
    let Some(value) = value else {
        let message = "expected a whole number, found an empty string";
        reader
            .problems
            .error(Code::WrongType, span, message, "such as 5000");
        return None;
    };
    let msec = u64::try_from(*value)
        .ok()
        .filter(|msec| limits::TIMEOUT_MSEC.contains(*msec));
    let Some(msec) = msec else {
        let message = format!("a time-out of {value} ms");
        let help = "from 1 to 2147483647; Aurora took none, or 100 ms, for a number under 1";
        reader.problems.error(Code::OutOfRange, span, message, help);
        return None;
    };
    if msec < limits::SHORT_TIMEOUT_MSEC {
        let message = format!("{msec} ms to connect only reaches receivers near by");
        let help = "such as 5000; `responseTimeoutMsec` bounds the answer";
        reader
            .problems
            .warning(Code::ShortTimeout, span, message, help);
    }
    Some(Duration::from_millis(msec))
}

fn convert_headers(
    file: HeadersFile,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<Vec<Header>> {
    let mut headers = Vec::new();
    let mut is_whole = true;
    for HeaderFile { key, span, value } in file.headers {
        let name = shorten(&key.text);
        if let Err(error) = check_name(&key.text) {
            let (code, help) = match error {
                InvalidHeader::Refused => (Code::RefusedHeader, "remove it".to_owned()),
                _ => (Code::InvalidHeaderName, error.to_string()),
            };
            let message = match error {
                InvalidHeader::Refused => {
                    format!("header `{name}` is set by the HTTP client itself")
                }
                _ => format!("`{name}` cannot be the name of a header"),
            };
            reader.problems.error(code, &key.span, message, help);
            is_whole = false;
            continue;
        }
        let Some(secret) = value else {
            let message = format!("header `{name}` is null");
            let help = "give it a value, \"\" if it is to be empty, or remove it";
            reader.problems.error(Code::WrongType, &span, message, help);
            is_whole = false;
            continue;
        };
        let Some(resolved) = context.surroundings.secret(&secret, reader) else {
            is_whole = false;
            continue;
        };
        if looks_secret(&key.text, &resolved.text) {
            context
                .surroundings
                .warn_if_exposed(&format!("header `{name}`"), &secret, reader);
        }
        match Header::new(&key.text, &resolved.text, resolved.source) {
            Ok(header) => {
                warn_of_header(&header, &secret.span, reader);
                headers.push(header);
            }
            Err(error) => {
                let message = format!("header `{name}` has a value that cannot be sent");
                let code = Code::InvalidHeaderValue;
                reader
                    .problems
                    .error(code, &secret.span, message, error.to_string());
                is_whole = false;
            }
        }
    }
    is_whole.then_some(headers)
}

fn warn_of_header(header: &Header, span: &Span, reader: &mut Reader) {
    let name = shorten(header.written_name());
    if header.is_changed() {
        let message = format!("header `{name}` is not sent as written");
        let help = "HTTP carries Latin-1 on one line: what is beyond it goes out as `?`, a control \
                    character or line break as a blank";
        reader
            .problems
            .warning(Code::ChangedHeaderValue, span, message, help);
    }
    if header.name() == http::header::CONTENT_TYPE {
        let value = header.text().to_ascii_lowercase();
        let charset = value
            .split_once("charset=")
            .map(|(_, charset)| charset.trim_matches(['"', ' ']));
        if charset.is_some_and(|charset| !charset.starts_with("utf-8")) {
            let message = "the header names a charset, but the body is UTF-8";
            let help = "remove the charset, or write charset=utf-8";
            reader
                .problems
                .warning(Code::ContentTypeCharset, span, message, help);
        }
    }
}

fn statuses(list: &StatusList, reader: &mut Reader) -> StatusFilter {
    let is_all = list
        .items
        .iter()
        .any(|item| item.text.as_deref() == Some("*"));
    if list.items.is_empty() {
        let message = "an empty list of statuses: nothing is ever sent";
        let help = "remove `statuses` to send all";
        reader
            .problems
            .warning(Code::NoStatuses, &list.span, message, help);
    }
    let mut only = Vec::new();
    let mut reported = None;
    for item in &list.items {
        // What a list inside the list holds is one element to a reader.
        if reported.replace(item.span.clone()).as_ref() == Some(&item.span) {
            continue;
        }
        let name = item.text.as_deref().unwrap_or("null");
        if name == "*" {
            continue;
        }
        let status = ScheduleStatus::from_name(name).filter(|_| item.text.is_some());
        match (status, is_all) {
            (Some(status), false) => only.push(status),
            (_, true) => {
                let message = format!("`{}` has no effect beside `*`", shorten(name));
                let help = "write \"*\" alone, or remove it";
                reader
                    .problems
                    .warning(Code::Ineffective, &item.span, message, help);
            }
            (None, false) => {
                let message = format!("unknown status `{}`", shorten(name));
                let known = ScheduleStatus::ALL.iter().map(|status| status.name());
                let help = match nearest(name, known.clone()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("one of {}, or `*`", known.collect::<Vec<_>>().join(", ")),
                };
                reader
                    .problems
                    .error(Code::UnknownStatus, &item.span, message, help);
            }
        }
    }
    if is_all {
        StatusFilter::All
    } else {
        StatusFilter::only(only)
    }
}

fn jobs(list: &Spanned<Vec<Text>>, reader: &mut Reader) -> JobFilter {
    if list.value.is_empty() {
        let message = "an empty list of job patterns: nothing is ever sent";
        reader.problems.warning(
            Code::NoJobs,
            &list.span,
            message,
            "remove `jobs` to send all",
        );
    }
    let mut patterns = Vec::new();
    for Text(text) in &list.value {
        match text.value.parse() {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let message = format!("`{}` is not a job pattern", shorten(&text.value));
                let help = format!("{error}, such as vagrant/test/*");
                reader
                    .problems
                    .error(Code::InvalidJobPattern, &text.span, message, help);
            }
        }
    }
    JobFilter::Matching(patterns)
}

fn convert_retry(file: &RetryFile, reader: &mut Reader) -> RetryPolicy {
    let default = RetryPolicy::default();
    let msec = |slot, key, default, reader: &mut Reader| {
        number(slot, limits::RETRY_MSEC, key, reader).map_or(default, Duration::from_millis)
    };
    let initial = msec(&file.initial, "initialMsec", default.initial(), reader);
    // Whoever sets the first wait alone above the default of the longest means it to stay so.
    let longest = if file.max.is_given() {
        default.max()
    } else {
        default.max().max(initial)
    };
    let max = msec(&file.max, "maxMsec", longest, reader);
    let max_age = msec(&file.max_age, "maxAgeMsec", default.max_age(), reader);
    let attempts = number(
        &file.max_attempts,
        limits::MAX_ATTEMPTS,
        "maxAttempts",
        reader,
    );
    let attempts = attempts.and_then(|attempts| NonZeroU32::new(u32::try_from(attempts).ok()?));
    let multiplier = file
        .multiplier
        .as_given()
        .map_or(default.multiplier(), |it| it.value);
    RetryPolicy::new(initial, max, multiplier, max_age, attempts).unwrap_or_else(|error| {
        let span = match error {
            InvalidRetry::Multiplier => file.multiplier.as_given().map(|it| it.span.clone()),
            InvalidRetry::MaxUnderInitial => file.max.as_given().map(|it| it.span.clone()),
            _ => None,
        };
        let span = span.unwrap_or_else(|| opening(&file.span));
        let code = match error {
            InvalidRetry::Multiplier => Code::OutOfRange,
            _ => Code::InvalidRetry,
        };
        reader.problems.error(code, &span, error.to_string(), "");
        default
    })
}

fn convert_signing(
    file: SigningFile,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<Signing> {
    let list = required(
        file.secrets,
        "secrets",
        "a list of secrets",
        &opening(&file.span),
        context,
        reader,
    )?;
    let mut secrets = Vec::new();
    for secret in &list.value {
        let Some(resolved) = context.surroundings.secret(secret, reader) else {
            continue;
        };
        context
            .surroundings
            .warn_if_exposed("a signing secret", secret, reader);
        match SigningSecret::parse(&resolved.text) {
            Ok(secret) => secrets.push(secret),
            Err(error) => {
                let message = format!("not a signing secret: {error}");
                let help = "make one: echo \"whsec_$(head -c 32 /dev/urandom | base64)\"";
                reader
                    .problems
                    .error(Code::InvalidSigningSecret, &secret.span, message, help);
            }
        }
    }
    if list.value.is_empty() {
        let message = "`secrets` is empty";
        let help = "add a secret, or remove `signing`";
        reader
            .problems
            .error(Code::MissingKey, &list.span, message, help);
    }
    Signing::new(secrets).ok()
}

fn convert_tls(file: TlsFile, context: &Context<'_>, reader: &mut Reader) -> Tls {
    let mut tls = Tls::default();
    if let Some(Text(path)) = file.ca_file.as_given()
        && let Some(pem) = context.surroundings.file_text(path, reader)
    {
        match Tls::default().with_ca(pem) {
            Ok(with_ca) => tls = with_ca,
            Err(error) => invalid_pem(&path.span, &error, reader),
        }
    }
    if let (Some(_), Some(key)) = (file.client_key_file.as_given(), file.client_key.as_given()) {
        let message = "`clientKey` and `clientKeyFile` exclude each other";
        reader.problems.error(
            Code::ConflictingKeys,
            &key.span,
            message,
            "remove one of them",
        );
        return tls;
    }
    let certificate = file.client_cert_file.as_given().map(|Text(path)| {
        let pem = context.surroundings.file_text(path, reader);
        let check = |pem: &String| tls::check_certificates(pem.as_bytes());
        checked(pem, check, &path.span, reader)
    });
    let key = match (&file.client_key_file, &file.client_key) {
        (Slot::Given(Text(path)), _) => {
            let pem = context.surroundings.file_text(path, reader);
            Some(checked(
                pem,
                |pem| tls::check_key(pem.as_bytes()),
                &path.span,
                reader,
            ))
        }
        (_, Slot::Given(secret)) => {
            context
                .surroundings
                .warn_if_exposed("a private key", secret, reader);
            let pem = context
                .surroundings
                .secret(secret, reader)
                .map(|resolved| resolved.text);
            Some(checked(
                pem,
                |pem| tls::check_key(pem.as_bytes()),
                &secret.span,
                reader,
            ))
        }
        _ => None,
    };
    match (certificate, key) {
        (Some(Some(certificate)), Some(Some(key))) => {
            if let Ok(client) = ClientIdentity::new(certificate, key) {
                tls = tls.with_client(client);
            }
        }
        (Some(_), None) | (None, Some(_)) => {
            let message = "a client certificate needs its key, and the key its certificate";
            let help = "set `clientCertFile` and `clientKeyFile`";
            reader
                .problems
                .error(Code::IncompleteKeys, &opening(&file.span), message, help);
        }
        _ => {}
    }
    tls
}

/// The PEM, if it is what it should be; else that is reported.
fn checked(
    pem: Option<String>,
    check: impl Fn(&String) -> Result<(), tls::InvalidPem>,
    span: &Span,
    reader: &mut Reader,
) -> Option<String> {
    let pem = pem?;
    match check(&pem) {
        Ok(()) => Some(pem),
        Err(error) => {
            invalid_pem(span, &error, reader);
            None
        }
    }
}

fn invalid_pem(span: &Span, error: &tls::InvalidPem, reader: &mut Reader) {
    reader
        .problems
        .error(Code::InvalidPem, span, error.to_string(), "");
}

fn queue(slot: Slot<QueueFile>, context: &Context<'_>, reader: &mut Reader) -> QueueSettings {
    let file = slot.given().unwrap_or_default();
    let default = QueueSettings::default();
    let dir = match &file.dir {
        Slot::Given(Text(dir)) if dir.value.is_empty() || dir.value.contains('\0') => {
            let message = "not the name of a directory";
            reader.problems.error(
                Code::OutOfRange,
                &dir.span,
                message,
                "such as /var/lib/webhook",
            );
            return default;
        }
        Slot::Given(Text(dir)) => context.surroundings.path(&dir.value),
        _ => context.surroundings.dir.join(default.dir()),
    };
    let mut settings = QueueSettings::new(dir);
    if let Some(bytes) = number(&file.max_bytes, limits::QUEUE_BYTES, "maxBytes", reader) {
        settings = settings.with_max_bytes(bytes);
    }
    if let Some(when_full) = file.when_full.as_given() {
        settings = settings.with_when_full(when_full.0);
    }
    settings
}
