//! A TCP proxy before a server, whose connections can be cut so that the server does not notice.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Carries bytes between clients and a server. Its threads end with the connections.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Refuses new connections.
    closed: AtomicBool,
    clients: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(crate) fn start(server: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::<State>::default();
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.closed.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                    continue;
                };
                let copy = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
                shared.clients.lock().expect("no panic").push(copy(&client));
                let (from_client, to_server) = (copy(&client), copy(&server));
                thread::spawn(move || carry(from_client, to_server));
                thread::spawn(move || carry(server, client));
            }
        });
        Proxy { port, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts the connections on the side of the clients: the server's side stays open, and the server
    /// goes on with what it was told. New connections are refused while `closed`.
    pub(crate) fn cut(&self, closed: bool) {
        self.state.closed.store(closed, Ordering::SeqCst);
        for client in self.state.clients.lock().expect("no panic").drain(..) {
            client.shutdown(Shutdown::Both).ok();
        }
    }

    /// Accepts connections again.
    pub(crate) fn open(&self) {
        self.state.closed.store(false, Ordering::SeqCst);
    }
}

/// Carries bytes in one direction. The other end is told of no end, so that it does not notice.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // The stream is kept open for as long as the process runs.
    std::mem::forget(to);
}
