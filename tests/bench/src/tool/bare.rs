//! The ceiling: blocking sockets, one write and one read for a request. It also posts events to
//! webhookd.

use super::requests::{ClientArgs, Requests};
use anyhow::{Context, Result, bail, ensure};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;
use testkit::Messages;

/// How long a sender waits after a 503.
const PAUSE: Duration = Duration::from_millis(2);

/// Threads at most. Of more connections, each thread has several: it writes a request to each,
/// and reads their answers then. A thread for each would cost two context switches a request.
const THREADS: usize = 8;

/// Sends, and fails when an answer is not a success.
pub(super) fn run(args: &ClientArgs) -> Result<()> {
    let requests = Requests::new(args)?;
    let threads = args.at_once.min(THREADS);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|index| {
                let connections = (index..args.at_once).step_by(threads).count();
                let requests = &requests;
                scope.spawn(move || send(args, requests, connections))
            })
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(sent) => sent?,
                Err(_) => bail!("a sender panicked"),
            }
        }
        Ok(())
    })
}

fn send(args: &ClientArgs, requests: &Requests, connections: usize) -> Result<()> {
    let connections = (0..connections).map(|_| Connection::new(args));
    let mut connections = connections.collect::<Result<Vec<_>>>()?;
    loop {
        let mut under_way = 0;
        for connection in &mut connections {
            let Some(body) = requests.take() else { break };
            connection.write(requests, body)?;
            under_way += 1;
        }
        if under_way == 0 {
            return Ok(());
        }
        for connection in &mut connections[..under_way] {
            connection.read()?;
        }
    }
}

struct Connection {
    answers: Messages<TcpStream>,
    request: Vec<u8>,
}

impl Connection {
    fn new(args: &ClientArgs) -> Result<Connection> {
        let stream = TcpStream::connect(args.address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            answers: Messages::new(stream),
            request: Vec::with_capacity(16 << 10),
        })
    }

    fn write(&mut self, requests: &Requests, body: &[u8]) -> Result<()> {
        self.request.clear();
        requests.head.write(body.len(), &mut self.request);
        self.request.extend_from_slice(body);
        self.write_again()
    }

    fn write_again(&mut self) -> Result<()> {
        let stream = self.answers.stream();
        stream.write_all(&self.request).context("cannot send")
    }

    /// Reads the answer, and posts again what was not accepted.
    fn read(&mut self) -> Result<()> {
        loop {
            let answer = self.answers.next()?.context("closed without an answer")?;
            if answer.head.starts_with(b"HTTP/1.1 2") {
                return Ok(());
            }
            let head = String::from_utf8_lossy(answer.head);
            ensure!(head.starts_with("HTTP/1.1 503"), "answered: {head}");
            // There is no room at the moment, and the event was not accepted.
            std::thread::sleep(PAUSE);
            self.write_again()?;
        }
    }
}
