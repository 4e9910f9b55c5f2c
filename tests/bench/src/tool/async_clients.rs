//! hyper and reqwest, as their guides have it: as many tasks as there are requests at once.

use super::requests::{ClientArgs, Requests};
use anyhow::{Context, Result, ensure};
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use reqwest::Client;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;

/// Sends, and fails when an answer is not a success.
pub(super) fn run<F>(args: &ClientArgs, send: fn(ClientArgs, Arc<Requests>) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let requests = Arc::new(Requests::new(args)?);
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    runtime.block_on(async {
        let tasks: Vec<_> = (0..args.at_once)
            .map(|_| tokio::spawn(send(args.clone(), Arc::clone(&requests))))
            .collect();
        for task in tasks {
            task.await.context("a task panicked")??;
        }
        Ok(())
    })
}

/// A connection for each task, one request at a time on each.
pub(super) async fn hyper(args: ClientArgs, requests: Arc<Requests>) -> Result<()> {
    let stream = TcpStream::connect(args.address)
        .await
        .context("cannot connect")?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut headers: HeaderMap = requests.head.headers.clone();
    headers.insert(header::HOST, args.address.to_string().parse()?);
    while let Some(body) = requests.take() {
        let mut request = Request::post(&*requests.head.path).body(Full::new(body.clone()))?;
        *request.headers_mut() = headers.clone();
        sender.ready().await?;
        let mut answer = sender.send_request(request).await?;
        ensure!(answer.status().is_success(), "answered {}", answer.status());
        while let Some(frame) = answer.frame().await {
            frame?;
        }
    }
    drop(sender);
    connection.await.context("a connection panicked")??;
    Ok(())
}

/// One client with its pool, shared by all tasks.
pub(super) async fn reqwest(args: ClientArgs, requests: Arc<Requests>) -> Result<()> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    let client = CLIENT.get_or_init(|| {
        let client = Client::builder().no_proxy().tcp_nodelay(true);
        let client = client.pool_max_idle_per_host(args.at_once).build();
        client.expect("a client without TLS needs nothing")
    });
    let url = format!("http://{}{}", args.address, requests.head.path);
    let mut headers = requests.head.headers.clone();
    headers.remove(header::HOST);
    while let Some(body) = requests.take() {
        let request = client
            .post(&url)
            .headers(headers.clone())
            .body(body.clone());
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "answered {}", answer.status());
        answer.bytes().await?;
    }
    Ok(())
}
