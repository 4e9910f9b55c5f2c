//! The runtime and the loop that accepts connections.

use super::answered::Answered;
use super::connections::{ConnectionSlot, Connections};
use super::limits::{Limits, OutOfReserve};
use super::socket::{AsyncListener, Listener, Stream};
use super::tls::ServerTls;
use super::watched::Watched;
use anyhow::{Context, Result};
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Serves HTTP on threads of its own.
#[derive(Debug)]
pub(crate) struct Server {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    listening: Vec<JoinHandle<GracefulShutdown>>,
    /// Set once no more connections are accepted; ends with the last connection.
    stopping: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system refuses them.
    pub(crate) fn start(threads: usize) -> Result<Server> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("http")
            .enable_all()
            .build()
            .context("cannot start the HTTP server")?;
        Ok(Server {
            runtime,
            stop: watch::Sender::new(false),
            listening: Vec::new(),
            stopping: None,
        })
    }

    /// Serves the connections of `listener`, with `tls` if there is any.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub(crate) fn serve<S, B>(
        &mut self,
        listener: Listener,
        tls: Option<Arc<ServerTls>>,
        limits: Limits,
        service: S,
    ) -> Result<()>
    where
        S: Service<Request<Incoming>, Response = hyper::Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: std::error::Error + Send + Sync + 'static,
        B: Body + Unpin + Send + 'static,
        B::Data: Send,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let _inside = self.runtime.enter();
        let shown = listener.to_string();
        let listener = listener
            .into_async()
            .with_context(|| format!("cannot listen on {shown}"))?;
        let stop = self.stop.subscribe();
        let accepting = accept((listener, tls), limits, service, stop);
        self.listening.push(self.runtime.spawn(accepting));
        Ok(())
    }

    /// Accepts no more connections, and waits up to `grace` for requests under way. Requests that have
    /// not ended by then go on.
    pub(crate) fn stop(&mut self, grace: Duration) {
        self.stop.send_replace(true);
        let listening = std::mem::take(&mut self.listening);
        let stopping = self.stopping.get_or_insert_with(|| {
            self.runtime.spawn(async move {
                for accepting in listening {
                    if let Ok(connections) = accepting.await {
                        connections.shutdown().await;
                    }
                }
            })
        });
        if stopping.is_finished() {
            return;
        }
        self.runtime.block_on(async {
            // Requests may go on, so a time-out is fine.
            drop(tokio::time::timeout(grace, stopping).await);
        });
    }

    /// Accepts no more connections, waits up to `grace` for requests under way, cuts off the others,
    /// and ends the threads.
    pub(crate) fn shutdown(mut self, grace: Duration) {
        self.stop(grace);
        self.runtime.shutdown_background();
    }
}

async fn accept<S, B>(
    (listener, tls): (AsyncListener, Option<Arc<ServerTls>>),
    limits: Limits,
    service: S,
    mut stop: watch::Receiver<bool>,
) -> GracefulShutdown
where
    S: Service<Request<Incoming>, Response = hyper::Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: std::error::Error + Send + Sync + 'static,
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let watched = GracefulShutdown::new();
    let connections = Connections::new(limits);
    loop {
        let accepted = tokio::select! {
            accepted = async {
                match listener.accept().await {
                    Ok(stream) => Ok((stream, connections.enter().await)),
                    Err(error) => Err(error),
                }
            } => accepted,
            _ = stop.wait_for(|stop| *stop) => return watched,
        };
        match accepted {
            Ok((stream, slot)) => {
                let watcher = watched.watcher();
                let (service, stop) = (service.clone(), stop.clone());
                let opened = (stream, tls.clone());
                tokio::spawn(serve_connection(
                    opened, slot, limits, service, watcher, stop,
                ));
            }
            // Most likely out of descriptors, so one is freed.
            Err(_) => {
                connections.evict();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve_connection<S, B>(
    (mut stream, tls): (Stream, Option<Arc<ServerTls>>),
    slot: ConnectionSlot,
    limits: Limits,
    service: S,
    watcher: Watcher,
    mut stop: watch::Receiver<bool>,
) where
    S: Service<Request<Incoming>, Response = hyper::Response<B>>,
    S::Error: std::error::Error + Send + Sync + 'static,
    B: Body + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let activity = &slot.activity;
    // A connection that sends nothing gets no buffers.
    tokio::select! {
        biased;
        ready = stream.readable() => if ready.is_err() {
            return;
        },
        () = activity.over(&limits) => return,
        _ = stop.wait_for(|stop| *stop) => return,
    }
    let peer = stream.peer();
    if let Some(tls) = tls {
        let handshake = tokio::time::timeout(limits.head_timeout, stream.into_tls(&tls));
        stream = tokio::select! {
            secured = handshake => match secured {
                Ok(Ok(stream)) => stream,
                // The peer was too slow, or speaks no TLS that is understood.
                _ => return,
            },
            () = activity.over(&limits) => return,
            _ = stop.wait_for(|stop| *stop) => return,
        };
    }
    let slot = &slot;
    let service = service_fn(move |mut request: Request<Incoming>| {
        let activity = Arc::clone(&slot.activity);
        activity.begins();
        if slot.in_reserve && !limits.reserve.paths.contains(&request.uri().path()) {
            request.extensions_mut().insert(OutOfReserve);
        }
        request.extensions_mut().insert(Arc::clone(&activity));
        request.extensions_mut().insert(peer);
        let response = service.call(request);
        async move {
            let mut response = response.await?;
            if slot.is_wanted() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, S::Error>(response.map(|body| Answered::new(body, activity)))
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The activity tracks this time, too.
        .header_read_timeout(None)
        // A peer that ends its side after a request gets its response. Otherwise each request that
        // waits for its commit would take a buffer, to read on for the end of the stream.
        .half_close(true)
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers);
    let connection = builder.serve_connection(
        TokioIo::new(Watched::new(stream, Arc::clone(activity))),
        service,
    );
    tokio::select! {
        // What has arrived is read before the connection is given up.
        biased;
        // An error is the peer's: it broke off, or sent something other than HTTP.
        _ = watcher.watch(connection) => {}
        () = activity.over(&limits) => {}
    }
}
