//! `webhookd receive`: a receiver for tests, which prints requests.
//!
//! One thread serves all connections. Bodies go to standard output through a thread of their
//! own, [`printer`], so that a slow terminal delays responses but not signals.

mod printer;

use crate::auth::Secrets;
use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ALLOW, CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use printer::{Arrival, Printer};
use std::convert::Infallible;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use webhook_dispatch::WEBHOOK_ID;

/// The longest body, in bytes; a longer one gets 413.
const MAX_BODY: usize = 64 << 20;
/// How long a peer may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a peer may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long requests under way may take after the first signal.
const GRACE: Duration = Duration::from_secs(5);
/// The response to the requests of `--fail-first`.
const FAILURE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// Receive webhooks and print them, for tests
///
/// Prints the body of each request as a line on standard output, unchanged, and responds 200. The
/// first line on standard error is the address: `listening on http://127.0.0.1:5000/`.
///
/// The first SIGINT (Ctrl-C) or SIGTERM lets the requests under way end; a second one ends it at
/// once. It also ends when standard output is closed, so `webhookd receive | head -n 3` works.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReceiveArgs {
    /// The address and port to listen on; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5000")]
    listen: String,

    /// Respond with this status instead of 200
    #[arg(long, value_name = "CODE", default_value_t = 200,
          value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,

    /// Wait this long before each response; the body is printed before
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    delay_ms: u64,

    /// Respond 503 to the first N requests; they are printed, too
    #[arg(long, value_name = "N", default_value_t = 0)]
    fail_first: u64,

    /// End after N requests; later ones get 503 and are not printed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Respond 401 to requests that are not signed (Standard Webhooks) by a secret in this file
    ///
    /// The file holds one `whsec_…` per line, any of which may have signed. Results go to standard
    /// error; a request that is not verified is not printed.
    #[arg(long, value_name = "FILE")]
    verify_secret: Option<PathBuf>,

    /// Print request lines and headers on standard error, with all secrets
    #[arg(long)]
    headers: bool,
}

/// Listens, prints and responds until a signal, `--count` or a closed standard output ends it.
///
/// # Errors
/// The address cannot be used, or standard output fails, other than by being closed.
pub(crate) fn run(args: ReceiveArgs) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the receiver")?;
    runtime.block_on(serve(args))
}

async fn serve(args: ReceiveArgs) -> Result<ExitCode> {
    let secrets = args.verify_secret.as_deref().map(Secrets::read);
    let secrets = secrets.transpose().context("--verify-secret")?;
    // Before the address is printed, so that no signal finds its default handler.
    let mut signals = Signals::catch()?;
    let listener = TcpListener::bind(&args.listen).await.with_context(|| {
        format!(
            "cannot listen on {}; --listen takes HOST:PORT, port 0 picks a free one",
            args.listen
        )
    })?;
    let address = listener
        .local_addr()
        .context("cannot find the address of the listener")?;
    let end = Arc::new(Notify::new());
    let printer = Printer::start(Arc::clone(&end)).context("cannot start the printer")?;
    writeln!(std::io::stderr(), "listening on http://{address}/")
        .context("cannot write to standard error")?;

    let receiver = Receiver::new(&args, secrets, printer.sender(), Arc::clone(&end));
    let receiver = Arc::new(receiver);
    let connections = GracefulShutdown::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => spawn_connection(stream, &receiver, &connections),
                Err(error) => {
                    // Out of descriptors, most likely: a pause lets connections end.
                    report(&format_args!("cannot accept a connection: {error}"));
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = end.notified() => break,
            _ = signals.next() => break,
        }
    }
    drop(listener);

    let wind_up = async {
        // A response that takes longer than the grace is cut off.
        let drained = tokio::time::timeout(GRACE, connections.shutdown()).await;
        if drained.is_err() {
            report(&"some requests got no response in time");
        }
        printer.finish().await
    };
    tokio::select! {
        printed = wind_up => printed.map(|()| ExitCode::SUCCESS),
        code = signals.next() => Ok(ExitCode::from(code)),
    }
}

fn spawn_connection(stream: TcpStream, receiver: &Arc<Receiver>, all: &GracefulShutdown) {
    // Otherwise responses may wait for the peer's delayed acknowledgement. It fails if the peer is
    // gone already.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let receiver = Arc::clone(receiver);
    let service = service_fn(move |request| {
        let receiver = Arc::clone(&receiver);
        async move { Ok::<_, Infallible>(receiver.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let connection = all.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await
            && error.is_parse()
        {
            report(&format_args!(
                "a peer sent something other than HTTP: {error}"
            ));
        }
    });
}

/// What all connections share: how to respond, and the number of requests.
struct Receiver {
    status: StatusCode,
    delay: Duration,
    fail_first: u64,
    count: Option<u64>,
    headers: bool,
    secrets: Option<Secrets>,
    seen: AtomicU64,
    arrivals: printer::Sender,
    end: Arc<Notify>,
}

impl Receiver {
    fn new(
        args: &ReceiveArgs,
        secrets: Option<Secrets>,
        arrivals: printer::Sender,
        end: Arc<Notify>,
    ) -> Receiver {
        Receiver {
            status: StatusCode::from_u16(args.status).expect("clap has checked the range"),
            delay: Duration::from_millis(args.delay_ms),
            fail_first: args.fail_first,
            count: args.count,
            headers: args.headers,
            secrets,
            seen: AtomicU64::new(0),
            arrivals,
            end,
        }
    }

    /// Reads a request, has it printed, waits for `--delay-ms`, and responds.
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        // A 200 would open a tunnel.
        if request.method() == Method::CONNECT {
            let mut response = closing(StatusCode::METHOD_NOT_ALLOWED);
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let head = self.headers.then(|| head_text(&request));
        let (parts, body) = request.into_parts();
        let body = match read_body(body).await {
            Ok(body) => body,
            Err(status) => return closing(status),
        };
        if let Some(secrets) = &self.secrets {
            let id = parts.headers.get(WEBHOOK_ID);
            let id = id
                .and_then(|id| id.to_str().ok())
                .unwrap_or("without an id");
            if let Err(error) = secrets.verify(&parts.headers, &body) {
                report(&format_args!("not verified: {id}: {error}"));
                return closing(StatusCode::UNAUTHORIZED);
            }
            report(&format_args!("verified: {id}"));
        }
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        if self.count.is_some_and(|count| number > count) {
            return closing(FAILURE);
        }
        let printed = self.arrivals.send(Arrival { head, body }).await;
        if self.count == Some(number) {
            self.end.notify_one();
        }
        if printed.is_err() {
            // It was not printed, so it must not count as received.
            return closing(FAILURE);
        }
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = if number <= self.fail_first {
            FAILURE
        } else {
            self.status
        };
        response
    }
}

/// A response that closes the connection.
fn closing(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The whole body, or the status to respond with.
async fn read_body(body: Incoming) -> Result<Bytes, StatusCode> {
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect());
    match collected.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// The request line and the headers; headers of different names may be in another order.
fn head_text<B>(request: &Request<B>) -> Vec<u8> {
    let mut text = format!(
        "{} {} {:?}\n",
        request.method(),
        request.uri(),
        request.version()
    )
    .into_bytes();
    for (name, value) in request.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.push(b'\n');
    }
    text.push(b'\n');
    text
}

/// Prints a note on standard error; it is dropped if that is closed.
fn report(note: &dyn std::fmt::Display) {
    drop(writeln!(std::io::stderr(), "{note}"));
}

/// The signals that end the receiver.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn catch() -> Result<Signals> {
        let catch = |kind| signal(kind).context("cannot catch signals");
        Ok(Signals {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal. Returns the exit status that a shell would show for it.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}
