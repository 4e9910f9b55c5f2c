//! hyper, as its guide has it: a connection for each task, one request at a time on each.

use crate::events::{ClientArgs, Plan};
use anyhow::{Context, Result, ensure};
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Sends, and fails when an answer is not a success.
pub(crate) fn run(args: &ClientArgs) -> Result<()> {
    let plan = Arc::new(Plan::new(args)?);
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    runtime.block_on(async {
        let tasks: Vec<_> = (0..args.at_once)
            .map(|_| tokio::spawn(send(args.clone(), Arc::clone(&plan))))
            .collect();
        for task in tasks {
            task.await.context("a task panicked")??;
        }
        Ok(())
    })
}

async fn send(args: ClientArgs, plan: Arc<Plan>) -> Result<()> {
    let stream = TcpStream::connect(args.address)
        .await
        .context("cannot connect")?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut headers: HeaderMap = plan.head.headers.clone();
    headers.insert(header::HOST, args.address.to_string().parse()?);
    while let Some(body) = plan.take() {
        let mut request = Request::post(plan.head.path.as_str()).body(Full::new(body.clone()))?;
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
