//! Converts a target.

use super::batch::convert_batch;
use super::breaker::convert_breaker;
use super::context::{Context, number, opening, required};
use super::credentials::{convert_signing, convert_tls};
use super::filters::{jobs, statuses};
use super::headers::convert_headers;
use super::inputs::{FileInputs, conditions};
use super::oauth2::convert_oauth2;
use super::retain::convert_retain;
use super::retry::convert_retry;
use super::template::{cloud_events, template};
use super::url::{convert_url, hide_userinfo, raw};
use crate::delivery::{Delivery, Format, Method};
use crate::diagnostic::Code;
use crate::file::mirror::TargetFile;
use crate::file::read::{Milliseconds, Reader, Slot, Spanned, Text};
use crate::file::url_check;
use crate::header::Header;
use crate::limits;
use crate::name::TargetName;
use crate::target::Target;
use http::header::AUTHORIZATION;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;
use webhook_event::CloudEventTemplate;

pub(super) fn convert_target(
    file: TargetFile,
    inputs: &mut FileInputs,
    context: &Context<'_>,
    reader: &mut Reader,
) -> Option<Target> {
    let brace = opening(&file.span);
    let url_text = required(
        file.url,
        "targetURL",
        "a URL such as \"http://localhost:5000/\"",
        &brace,
        context,
        reader,
    );
    let credentials = "Aurora did not send them either; use the header `Authorization`";
    let url = url_text.and_then(|url| convert_url(url, "targetURL", credentials, context, reader));
    let format = file
        .format
        .as_given()
        .map_or(Format::default(), |format| format.0);
    let headers = required(
        file.headers,
        "headers",
        "an object, {} if there are none",
        &brace,
        context,
        reader,
    );
    let headers =
        headers.and_then(|headers| convert_headers(headers, Some(format), context, reader));
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
    let taken = inputs.filter(name.as_ref(), file.inputs.as_given(), reader);
    let is_aurora = inputs.are_aurora(&taken);
    let filters = [
        (
            "statuses",
            "state",
            file.statuses.as_given().map(|it| it.span.clone()),
        ),
        (
            "jobs",
            "job",
            file.jobs.as_given().map(|it| it.span.clone()),
        ),
        (
            "initialEvents",
            "oldState",
            (file.initial_events.as_given() == Some(&false)).then(|| brace.clone()),
        ),
    ];
    inputs.warn_of_filters(&taken, filters, reader);
    let statuses = file
        .statuses
        .given()
        .map(|list| statuses(&list, is_aurora, reader))
        .unwrap_or_default();
    let jobs = file
        .jobs
        .given()
        .map(|list| jobs(&list, is_aurora, reader))
        .unwrap_or_default();
    let conditions = file
        .conditions
        .given()
        .map(|list| conditions(&list, reader))
        .unwrap_or_default();
    let delivery = file
        .delivery
        .as_given()
        .map_or(Delivery::default(), |delivery| delivery.0);
    if delivery == Delivery::BestEffort {
        let retry = file.retry.as_given().map(|retry| &retry.span);
        let breaker = file.breaker.as_given().map(|breaker| &breaker.span);
        for (key, span) in [("retry", retry), ("breaker", breaker)] {
            if let Some(span) = span {
                let message =
                    format!("`{key}` has no effect: a best-effort delivery is tried once");
                let help = format!("remove `{key}`, or set `delivery` to \"reliable\"");
                reader.warning(Code::Ineffective, &opening(span), message, help);
            }
        }
    }
    let retry = file
        .retry
        .given()
        .map(|retry| convert_retry(&retry, reader))
        .unwrap_or_default();
    let breaker = file
        .breaker
        .given()
        .map(|breaker| convert_breaker(&breaker, reader))
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
    if let (Delivery::BestEffort, Slot::Given(bytes)) = (delivery, &file.max_owed_bytes) {
        let message = "`maxOwedBytes` has no effect: a best-effort target is not in the queue";
        let help = "remove it, or set `delivery` to \"reliable\"";
        reader.warning(Code::Ineffective, &bytes.span, message, help);
    }
    let max_owed_bytes = number(
        &file.max_owed_bytes,
        limits::OWED_BYTES,
        "maxOwedBytes",
        reader,
    );
    if let (Delivery::BestEffort, Slot::Given(retain)) = (delivery, &file.retain) {
        let message = "`retain` has no effect: a best-effort target is not in the queue";
        let help = "remove it, or set `delivery` to \"reliable\"";
        reader.warning(Code::Ineffective, &opening(&retain.span), message, help);
    }
    let retain = match file.retain {
        Slot::Given(retain) if delivery == Delivery::Reliable => {
            Some(convert_retain(retain, context, reader)?)
        }
        _ => None,
    };
    let max_response_bytes = number(
        &file.max_response_bytes,
        limits::MAX_RESPONSE_BYTES,
        "maxResponseBytes",
        reader,
    );
    let max_connection_age = number(
        &file.max_connection_age,
        limits::TIMEOUT_MSEC,
        "maxConnectionAgeMsec",
        reader,
    );
    let signing = file
        .signing
        .given()
        .and_then(|signing| convert_signing(signing, context, reader));
    let oauth2 = match file.oauth2 {
        Slot::Given(oauth2) => {
            let place = opening(&oauth2.span);
            let is_authorized =
                |headers: &Vec<Header>| headers.iter().any(|it| it.name() == AUTHORIZATION);
            if headers.as_ref().is_some_and(is_authorized) {
                let message = "`oauth2` and the header `Authorization` exclude each other";
                let help = "remove one of them: the access token is sent in that header";
                reader.error(Code::ConflictingKeys, &place, message, help);
                return None;
            }
            Some(convert_oauth2(oauth2, context, reader)?)
        }
        _ => None,
    };
    let tls_place = file.tls.as_given().map(|tls| opening(&tls.span));
    let tls = file
        .tls
        .given()
        .map(|tls| convert_tls(tls, context, reader))
        .unwrap_or_default();
    if let (Some(place), Some(url)) = (tls_place, &url)
        && !tls.is_default()
        && url.is_plain()
        && oauth2
            .as_ref()
            .is_none_or(|oauth2| oauth2.token_url().is_plain())
    {
        let message = "`tls` has no effect: the URL is not https";
        reader.warning(
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
    let is_template = format == Format::Template;
    let template = match file.template.as_given() {
        Some(tree) => template(&tree.0, format, context, reader),
        None if is_template && !context.is_partial && !matches!(file.template, Slot::Bad) => {
            let message = "`format` is \"template\", and there is no `template`";
            let help = "add `template`: the body as JSON, such as {\"text\": \"{key} is {state}\"}";
            reader.error(Code::IncompleteKeys, &brace, message, help);
            None
        }
        None => None,
    };
    let max_body_bytes = number(
        &file.max_body_bytes,
        limits::MAX_BODY_BYTES,
        "maxBodyBytes",
        reader,
    );
    let batch = file.batch.as_given().map(|batch| {
        let window = window.and_then(non_zero);
        let window = window.unwrap_or(limits::default_window(delivery, true));
        convert_batch(batch, format, window.get(), reader)
    });
    let cloud_events = match file.cloud_events.as_given() {
        Some(tree) => cloud_events(&tree.0, format, reader)?,
        None => CloudEventTemplate::default(),
    };
    let mut builder = Target::builder(url?)
        .name(name?)
        .method(file.method.as_given().map_or(Method::default(), |it| it.0))
        .headers(headers?)
        .connect_timeout(connect_timeout?)
        .inputs(taken)
        .statuses(statuses)
        .jobs(jobs)
        .conditions(conditions)
        .initial_events(file.initial_events.given().unwrap_or(true))
        .format(format)
        .cloud_events(cloud_events)
        .batch(batch)
        .delivery(delivery)
        .retry(retry)
        .breaker(breaker)
        .max_per_second(max_per_second.and_then(|rate| NonZeroU32::new(u32::try_from(rate).ok()?)))
        .max_owed_bytes(max_owed_bytes)
        .retain(retain)
        .signing(signing)
        .oauth2(oauth2)
        .tls(tls)
        .proxy(proxy);
    if is_template {
        builder = builder.template(template?);
    }
    if let Some(bytes) = max_body_bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
        builder = builder.max_body_bytes(bytes);
    }
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
    if let Some(age) = max_connection_age {
        builder = builder.max_connection_age(Duration::from_millis(age));
    }
    builder.build().ok()
}

fn non_zero(number: u64) -> Option<NonZeroUsize> {
    NonZeroUsize::new(usize::try_from(number).ok()?)
}

fn target_name(name: &Spanned<String>, reader: &mut Reader) -> Option<TargetName> {
    TargetName::new(name.value.as_str())
        .map_err(|error| {
            let message = "not a valid name";
            reader.error(Code::InvalidName, &name.span, message, error.to_string());
        })
        .ok()
}

fn connect_timeout(timeout: &Milliseconds, reader: &mut Reader) -> Option<Duration> {
    let Milliseconds { span, value } = timeout;
    let Some(value) = value else {
        let message = "expected a whole number, found an empty string";
        reader.error(Code::WrongType, span, message, "such as 5000");
        return None;
    };
    let msec = u64::try_from(*value)
        .ok()
        .filter(|msec| limits::TIMEOUT_MSEC.contains(*msec));
    let Some(msec) = msec else {
        let message = format!("a time-out of {value} ms");
        let help = "from 1 to 2147483647; for a number under 1, Aurora used no time-out or 100 ms";
        reader.error(Code::OutOfRange, span, message, help);
        return None;
    };
    if msec < limits::SHORT_TIMEOUT_MSEC {
        let message =
            format!("a connect time-out of {msec} ms only suits receivers in the same network");
        let help = "such as 5000; `responseTimeoutMsec` bounds the response";
        reader.warning(Code::ShortTimeout, span, message, help);
    }
    Some(Duration::from_millis(msec))
}
