//! The workers that `bench postgres` compares with: a table as a queue, as it is usually written.
//!
//! A request's events are inserted by one statement before it is answered. Each sender has a
//! connection to the database and one to the receiver: it claims the oldest rows that no other
//! sender has locked (`SELECT … FOR UPDATE SKIP LOCKED`), delivers them one after the other,
//! deletes them and commits. There are no retries and no order by key, the key of an event is
//! read at a known place without parsing, and HTTP is written on bare sockets on both sides: all
//! of this is less than what webhookd does.

use super::numbered_load;
use super::requests::Head;
use anyhow::{Context, Result, bail, ensure};
use postgres::{Client, NoTls};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;
use testkit::load::DIGITS;
use testkit::{Messages, Server};

/// The table. The body is stored as webhookd stores it.
pub(crate) const TABLE: &str = "CREATE TABLE event (
    id bigserial PRIMARY KEY, key bytea NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    body bytea COMPRESSION lz4 NOT NULL);
    ALTER TABLE event ALTER body SET STORAGE MAIN;";
const INSERT: &str = "INSERT INTO event (key, body) SELECT * FROM unnest($1::bytea[], $2::bytea[])";
const CLAIM: &str = "SELECT id, body FROM event ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED";
const DELETE: &str = "DELETE FROM event WHERE id = ANY($1)";

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
/// How long a sender that has found nothing waits before it looks again.
const POLL: Duration = Duration::from_millis(5);

/// Takes events over HTTP and delivers them, until it is killed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SkipLockedArgs {
    /// The database
    #[arg(long)]
    database: String,
    /// Where events are delivered
    #[arg(long)]
    target: SocketAddr,
    /// A file with the head of a request, whose length is replaced
    #[arg(long)]
    head: PathBuf,
    /// Rows of a claim
    #[arg(long)]
    claim: i64,
    #[arg(long)]
    senders: usize,
}

pub(super) fn run(args: &SkipLockedArgs) -> Result<()> {
    let ingest = args.clone();
    let (key_at, _) = numbered_load().places();
    let server = Server::start(move |connection| {
        let mut client = connect(&ingest).expect("the database takes connections");
        let insert = client.prepare(INSERT).expect("the table is there");
        while let Some(request) = connection.request() {
            let bodies: Vec<&[u8]> = request.body.split(|byte| *byte == b'\n').collect();
            let keys: Vec<&[u8]> = bodies
                .iter()
                .map(|body| &body[key_at..key_at + DIGITS])
                .collect();
            let inserted = client.execute(&insert, &[&keys, &bodies]);
            inserted.expect("the database takes events");
            if !connection.write(OK) {
                return;
            }
        }
    });
    // In the words of webhookd, which the benchmark waits for.
    #[expect(clippy::print_stderr, reason = "the benchmark reads it")]
    {
        eprintln!("events are accepted on {}", server.url());
    }
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..args.senders)
            .map(|_| scope.spawn(|| send(args)))
            .collect();
        for sender in senders {
            match sender.join() {
                Ok(sent) => sent?,
                Err(_) => bail!("a sender panicked"),
            }
        }
        Ok(())
    })
}

fn connect(args: &SkipLockedArgs) -> Result<Client> {
    Client::connect(&args.database, NoTls).context("cannot connect to the database")
}

fn send(args: &SkipLockedArgs) -> Result<()> {
    let mut client = connect(args)?;
    let [claim, delete] = [CLAIM, DELETE].map(|sql| client.prepare(sql));
    let (claim, delete) = (claim?, delete?);
    let head = std::fs::read_to_string(&args.head).context("cannot read the head")?;
    let head = Head::new(&head).context("this is not the head of a request with a length")?;
    let stream = TcpStream::connect(args.target).context("cannot connect to the target")?;
    stream.set_nodelay(true)?;
    let mut answers = Messages::new(&stream);
    let mut request = Vec::with_capacity(16 << 10);
    loop {
        let mut transaction = client.transaction()?;
        let rows = transaction.query(&claim, &[&args.claim])?;
        if rows.is_empty() {
            transaction.commit()?;
            std::thread::sleep(POLL);
            continue;
        }
        for row in &rows {
            let body: &[u8] = row.get(1);
            request.clear();
            head.write(body.len(), &mut request);
            request.extend_from_slice(body);
            (&stream).write_all(&request).context("cannot send")?;
            let answer = answers.next()?.context("closed without an answer")?;
            ensure!(answer.head.starts_with(b"HTTP/1.1 2"), "it was refused");
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        transaction.execute(&delete, &[&ids])?;
        transaction.commit()?;
    }
}
