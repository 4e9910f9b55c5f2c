//! A receiver during one run of webhookd: a port, a thread for each connection, and a journal.

mod answer;
mod request;

use super::history::{Answer, Arrival, Body, RunNumber, parse_id};
use super::mood::{Act, Mood};
use crate::gen_fixtures::Random;
use anyhow::{Context, Result};
use request::Request;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What arrived at a target, in order.
#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<Vec<Arrival>>);

impl Journal {
    /// Notes that a request is here; returns its place.
    fn arrived(&self, arrival: Arrival) -> usize {
        let mut arrivals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.push(arrival);
        arrivals.len() - 1
    }

    fn answered(&self, place: usize, answer: Answer) {
        let mut arrivals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals[place].answer = answer;
    }

    /// How many requests arrived so far.
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// All that arrived.
    pub(super) fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A receiver at work.
#[derive(Debug)]
pub(super) struct Receiver {
    address: SocketAddrV4,
    stop: Sender<()>,
    keeper: JoinHandle<()>,
}

/// What the threads of a receiver share.
#[derive(Debug)]
struct Shared {
    journal: Arc<Journal>,
    mood: Mood,
    run: RunNumber,
    seed: u64,
    closed: AtomicBool,
}

impl Receiver {
    /// Takes a port, and opens it when its mood says so.
    pub(super) fn start(
        journal: Arc<Journal>,
        mood: Mood,
        run: RunNumber,
        seed: u64,
    ) -> Result<Receiver> {
        let (socket, address) = bind().context("cannot take a port")?;
        let shared = Arc::new(Shared {
            journal,
            mood,
            run,
            seed,
            closed: AtomicBool::new(false),
        });
        let (stop, stopped) = mpsc::channel();
        let keeper = std::thread::Builder::new()
            .name("receiver".to_owned())
            .spawn(move || keep(socket, address, &shared, &stopped))
            .context("cannot start a thread")?;
        Ok(Receiver {
            address,
            stop,
            keeper,
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Waits for the end of every connection, which comes once the sender has ended.
    pub(super) fn finish(self) -> Result<()> {
        drop(self.stop);
        self.keeper
            .join()
            .map_err(|_| anyhow::anyhow!("a receiver panicked"))
    }
}

/// A port of its own that refuses connections until it is listened to.
fn bind() -> std::io::Result<(OwnedFd, SocketAddrV4)> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    let address = SocketAddrV4::try_from(rustix::net::getsockname(&socket)?)?;
    Ok((socket, address))
}

/// Opens the port in time, closes it in time, and ends with the last connection.
fn keep(
    socket: OwnedFd,
    address: SocketAddrV4,
    shared: &Arc<Shared>,
    stopped: &mpsc::Receiver<()>,
) {
    if !shared.mood.opens_after.is_zero()
        && stopped.recv_timeout(shared.mood.opens_after) != Err(RecvTimeoutError::Timeout)
    {
        return;
    }
    if rustix::net::listen(&socket, 1024).is_err() {
        return;
    }
    let listener = TcpListener::from(socket);
    let sharing = Arc::clone(shared);
    let acceptor = std::thread::spawn(move || accept(&listener, &sharing));
    let mut closed = false;
    if let Some(after) = shared.mood.closes_after
        && stopped.recv_timeout(after) == Err(RecvTimeoutError::Timeout)
    {
        close(address, shared);
        closed = true;
    }
    // Nothing is ever sent: it ends when its other end is gone.
    while stopped.recv().is_ok() {}
    if !closed {
        close(address, shared);
    }
    for connection in acceptor.join().unwrap_or_default() {
        // One that panicked has left its request unanswered, as receivers do.
        drop(connection.join());
    }
}

/// Wakes the acceptor, so that it sees that the port is to be closed.
fn close(address: SocketAddrV4, shared: &Shared) {
    shared.closed.store(true, Ordering::SeqCst);
    drop(TcpStream::connect_timeout(
        &SocketAddr::V4(address),
        Duration::from_secs(5),
    ));
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) -> Vec<JoinHandle<()>> {
    let mut connections: Vec<JoinHandle<()>> = Vec::new();
    let mut number = 0_u64;
    loop {
        let Ok((stream, _)) = listener.accept() else {
            return connections;
        };
        if shared.closed.load(Ordering::SeqCst) {
            return connections;
        }
        number += 1;
        if connections.len() >= 64 {
            connections.retain(|connection| !connection.is_finished());
        }
        let shared = Arc::clone(shared);
        let random = Random::new(shared.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        connections.push(std::thread::spawn(move || serve(stream, random, &shared)));
    }
}

/// Takes requests until either side has enough.
fn serve(mut stream: TcpStream, mut random: Random, shared: &Shared) {
    // Without it the torture would only be slower.
    drop(stream.set_nodelay(true));
    let mut buffer = Vec::with_capacity(8 * 1024);
    loop {
        let Some(head) = request::read_head(&mut stream, &mut buffer) else {
            return;
        };
        let act = shared.mood.temper.act(&mut random);
        let cut_off = shared.mood.closes_after.is_some() && shared.closed.load(Ordering::SeqCst);
        if act == Act::Cut || cut_off {
            return answer::reset(stream);
        }
        let Some(Request { id, body }) = head.read_body(&mut stream, &mut buffer) else {
            return;
        };
        let place = shared.journal.arrived(Arrival {
            id: id.as_deref().and_then(parse_id),
            body: Body::of(body),
            run: shared.run,
            answer: Answer::No,
        });
        head.consume(&mut buffer);
        let (answer, goes_on) = answer::perform(act, &mut stream);
        if answer != Answer::No {
            shared.journal.answered(place, answer);
        }
        if !goes_on {
            if matches!(act, Act::BreakBody | Act::BreakHead) {
                return answer::reset(stream);
            }
            drop(stream.shutdown(Shutdown::Both));
            return;
        }
    }
}
