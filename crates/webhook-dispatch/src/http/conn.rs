//! A connection to a target: a plain socket, which may lead to a proxy, or TLS on top of one or of
//! a tunnel through a proxy.

use crate::http::dial::dial;
use crate::http::explain::{Phase, explain_io, explain_resolve};
use crate::http::http1::Stream;
use crate::http::net::Socket;
use crate::http::resolver::{Lookups, Resolving};
use crate::http::stop::Stop;
use crate::http::transport::TransportError;
use crate::http::ureq_layers::{Layered, Layers};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webhook_config::{ProxyUrl, Target};

/// A connection: a plain socket, or TLS on top of one or of a tunnel.
#[derive(Debug)]
pub(crate) enum Conn {
    Direct(Socket),
    Layered(Layered),
}

impl Stream for Conn {
    fn send(&mut self, head: &[u8], body: &[u8], until: Instant) -> std::io::Result<()> {
        match self {
            Conn::Direct(socket) => socket.send(head, body, until),
            Conn::Layered(layered) => layered.send(head, body, until),
        }
    }

    fn receive(&mut self, room: &mut [u8], until: Instant) -> std::io::Result<usize> {
        match self {
            Conn::Direct(socket) => socket.receive(room, until),
            Conn::Layered(layered) => layered.receive(room, until),
        }
    }

    fn is_quiet(&mut self) -> bool {
        match self {
            Conn::Direct(socket) => socket.is_quiet(),
            Conn::Layered(layered) => layered.is_quiet(),
        }
    }
}

/// Makes connections to a target, one at a time.
pub(crate) struct Dialer {
    /// The target.
    uri: http::Uri,
    /// The server that is connected to: the proxy, if there is one, or the target.
    server: http::Uri,
    /// The address of the last connection.
    peer: Option<SocketAddr>,
    within: Duration,
    resolving: Resolving,
    stop: Arc<Stop>,
    /// TLS and the tunnel; `None` for a plain socket.
    layers: Option<Layers>,
}

impl Dialer {
    pub(crate) fn new(
        target: &Target,
        lookups: Arc<Lookups>,
        stop: Arc<Stop>,
    ) -> Result<Dialer, TransportError> {
        let within = target.connect_timeout();
        let resolving = Resolving {
            lookups,
            patience: within.max(Duration::from_secs(5)),
            stop: Arc::clone(&stop),
        };
        let url = target.url().as_uri();
        let is_plain = url.scheme_str() == Some("http");
        let layers = if is_plain {
            None
        } else {
            Some(Layers::new(target, resolving.clone(), Arc::clone(&stop))?)
        };
        Ok(Dialer {
            uri: url.clone(),
            server: target.proxy().map_or(url, ProxyUrl::as_uri).clone(),
            peer: None,
            within,
            resolving,
            stop,
            layers,
        })
    }

    pub(crate) fn dial(&mut self) -> Result<Conn, TransportError> {
        if self.stop.is_stopped() {
            return Err(TransportError::stopped());
        }
        let conn = match &self.layers {
            Some(layers) => layers.dial(&self.uri, self.within).map(Conn::Layered),
            None => self.dial_plain(),
        };
        let conn = conn.inspect_err(|_| self.resolving.expire(&self.server))?;
        self.peer = self.stop.peer();
        if let Some(peer) = self.peer {
            self.resolving.prefer(&self.server, peer);
        }
        Ok(conn)
    }

    fn dial_plain(&self) -> Result<Conn, TransportError> {
        let addresses = self.resolving.resolve(&self.server);
        let addresses = addresses.map_err(explain_resolve)?;
        dial(&addresses, self.within, &self.stop)
            .map(Conn::Direct)
            .map_err(|error| explain_io(&error, Phase::Connecting))
    }

    /// Whether the server's name still has the address of the last connection.
    pub(crate) fn leads_to_receiver(&self) -> bool {
        self.peer
            .is_none_or(|peer| self.resolving.still_has(&self.server, peer))
    }
}
