//! reqwest: one client with its pool, shared by as many tasks as there are requests at once.

use crate::events::{ClientArgs, Plan};
use anyhow::{Context, Result, ensure};
use http::header;
use reqwest::Client;
use std::sync::Arc;

/// Sends, and fails when an answer is not a success.
pub(crate) fn run(args: &ClientArgs) -> Result<()> {
    let plan = Arc::new(Plan::new(args)?);
    let client = Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(args.at_once)
        .tcp_nodelay(true)
        .build()
        .context("no client")?;
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    runtime.block_on(async {
        let tasks: Vec<_> = (0..args.at_once)
            .map(|_| tokio::spawn(send(args.clone(), client.clone(), Arc::clone(&plan))))
            .collect();
        for task in tasks {
            task.await.context("a task panicked")??;
        }
        Ok(())
    })
}

async fn send(args: ClientArgs, client: Client, plan: Arc<Plan>) -> Result<()> {
    let url = format!("http://{}{}", args.address, plan.head.path);
    let mut headers = plan.head.headers.clone();
    headers.remove(header::HOST);
    while let Some(body) = plan.take() {
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
