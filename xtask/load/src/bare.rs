//! The ceiling: blocking sockets, a thread for each, one write and one read for a request.

use crate::events::{ClientArgs, Plan};
use crate::message::Messages;
use anyhow::{Context, Result, bail, ensure};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

/// How long a sender waits that was told that there is no room.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BareArgs {
    #[command(flatten)]
    client: ClientArgs,
}

/// Sends, and fails when an answer is not a success.
pub(crate) fn run(args: &BareArgs) -> Result<()> {
    let plan = Plan::new(&args.client)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.client.at_once)
            .map(|_| {
                std::thread::Builder::new()
                    .stack_size(128 << 10)
                    .spawn_scoped(scope, || send(&args.client, &plan))
                    .context("cannot start a thread")
            })
            .collect::<Result<_>>()?;
        for thread in threads {
            match thread.join() {
                Ok(sent) => sent?,
                Err(_) => bail!("a sender panicked"),
            }
        }
        Ok(())
    })
}

fn send(args: &ClientArgs, plan: &Plan) -> Result<()> {
    let stream = TcpStream::connect(args.address).context("cannot connect")?;
    stream.set_nodelay(true)?;
    let mut answers = Messages::new(&stream);
    let mut request = Vec::with_capacity(16 << 10);
    while let Some(body) = plan.take() {
        request.clear();
        plan.head.write(body.len(), &mut request);
        request.extend_from_slice(body);
        let answer = loop {
            (&stream).write_all(&request).context("cannot send")?;
            let answer = answers.next()?.context("closed without an answer")?;
            if !answer.head.starts_with(b"HTTP/1.1 503") {
                break answer;
            }
            // There is no room at the moment, and nothing was taken.
            std::thread::sleep(PAUSE);
        };
        ensure!(
            answer.head.starts_with(b"HTTP/1.1 2"),
            "answered: {}",
            String::from_utf8_lossy(answer.head)
        );
    }
    Ok(())
}
