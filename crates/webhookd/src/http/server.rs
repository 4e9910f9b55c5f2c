//! The runtime and the loop that accepts connections.

use super::listener::{AsyncListener, Listener, Stream};
use anyhow::{Context, Result};
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// What one connection, and all of them together, may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections open at once; those beyond wait to be accepted.
    pub(crate) connections: usize,
    /// How long a peer may take to send a request's head, and how long a connection may be idle.
    pub(crate) head_timeout: Duration,
    /// Bytes of a request's head.
    pub(crate) head_bytes: usize,
    /// Header fields of a request.
    pub(crate) headers: usize,
}

/// Serves HTTP on threads of its own.
pub(crate) struct Server {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    listening: Vec<JoinHandle<GracefulShutdown>>,
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
        })
    }

    /// Answers what comes in on `listener`.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub(crate) fn serve<S, B>(
        &mut self,
        listener: Listener,
        limits: Limits,
        service: S,
    ) -> Result<()>
    where
        S: Service<Request<Incoming>, Response = hyper::Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: std::error::Error + Send + Sync + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let _inside = self.runtime.enter();
        let shown = listener.to_string();
        let listener = listener
            .into_async()
            .with_context(|| format!("cannot listen on {shown}"))?;
        let stop = self.stop.subscribe();
        let accepting = accept(listener, limits, service, stop);
        self.listening.push(self.runtime.spawn(accepting));
        Ok(())
    }

    /// Accepts nothing more, lets requests under way end for up to `grace`, and ends.
    pub(crate) fn shutdown(self, grace: Duration) {
        self.stop.send_replace(true);
        let listening = self.listening;
        self.runtime.block_on(async {
            let all = async {
                for accepting in listening {
                    if let Ok(connections) = accepting.await {
                        connections.shutdown().await;
                    }
                }
            };
            // What is not answered by then is cut off: that is what the grace means.
            drop(tokio::time::timeout(grace, all).await);
        });
        self.runtime.shutdown_background();
    }
}

async fn accept<S, B>(
    listener: AsyncListener,
    limits: Limits,
    service: S,
    mut stop: watch::Receiver<bool>,
) -> GracefulShutdown
where
    S: Service<Request<Incoming>, Response = hyper::Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: std::error::Error + Send + Sync + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let connections = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(limits.connections));
    loop {
        let accepted = tokio::select! {
            accepted = async {
                let place = Arc::clone(&room).acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
            _ = stop.wait_for(|stop| *stop) => return connections,
        };
        match accepted {
            (place, Ok(stream)) => {
                let connection =
                    serve_connection(stream, limits, service.clone(), connections.watcher());
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            // Out of descriptors, most likely: a pause lets connections end.
            (_, Err(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve_connection<S, B>(stream: Stream, limits: Limits, service: S, watcher: Watcher)
where
    S: Service<Request<Incoming>, Response = hyper::Response<B>>,
    S::Error: std::error::Error + Send + Sync + 'static,
    B: Body + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers)
        .serve_connection(TokioIo::new(stream), service);
    // A peer that breaks off, or does not speak HTTP, has been answered as far as it can be.
    drop(watcher.watch(connection).await);
}
