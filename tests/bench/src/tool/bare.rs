//! The ceiling: blocking sockets, a thread for each, one write and one read for a request.

use super::requests::{ClientArgs, Requests};
use anyhow::{Context, Result, bail, ensure};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;
use testkit::Messages;

/// How long a sender waits after a 503.
const PAUSE: Duration = Duration::from_millis(2);

/// Sends, and fails when an answer is not a success.
pub(super) fn run(args: &ClientArgs) -> Result<()> {
    let requests = Requests::new(args)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.at_once)
            .map(|_| {
                let thread = std::thread::Builder::new().stack_size(128 << 10);
                let started = thread.spawn_scoped(scope, || send(args, &requests));
                started.context("cannot start a thread")
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

fn send(args: &ClientArgs, requests: &Requests) -> Result<()> {
    let stream = TcpStream::connect(args.address).context("cannot connect")?;
    stream.set_nodelay(true)?;
    let mut answers = Messages::new(&stream);
    let mut request = Vec::with_capacity(16 << 10);
    while let Some(body) = requests.take() {
        request.clear();
        requests.head.write(body.len(), &mut request);
        request.extend_from_slice(body);
        loop {
            (&stream).write_all(&request).context("cannot send")?;
            let answer = answers.next()?.context("closed without an answer")?;
            if answer.head.starts_with(b"HTTP/1.1 2") {
                break;
            }
            let head = String::from_utf8_lossy(answer.head);
            ensure!(head.starts_with("HTTP/1.1 503"), "answered: {head}");
            // There is no room at the moment, and the event was not accepted.
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}
