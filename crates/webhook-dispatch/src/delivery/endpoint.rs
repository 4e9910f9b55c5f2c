//! The state that a target's senders share under one configuration of the target.

use crate::delivery::access_token::AccessTokens;
use crate::delivery::request_template::RequestTemplate;
use crate::http::transport::{Connector, Stopper, Transport, TransportError};
use crate::shared::sync::{AtomicBool, AtomicU64, Mutex};
use crate::shared::{Clock, Tracer};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use webhook_config::Target;

/// The number of the transport to the token endpoint: one sender at a time has it.
const TOKEN_TRANSPORT: usize = usize::MAX;

/// The state that a target's senders share. A reload that changes the target creates another one.
pub(crate) struct Endpoint {
    pub(crate) template: RequestTemplate,
    /// `None` for a target without OAuth 2.0.
    pub(crate) access_tokens: Option<AccessTokens>,
    connector: Arc<dyn Connector>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tracer: Option<Arc<dyn Tracer>>,
    /// The number of recalls: a job that was handed out under another number is returned untried.
    pub(crate) recalls: AtomicU64,
    stopping: AtomicBool,
    stoppers: Mutex<HashMap<usize, Stopper>>,
}

impl Endpoint {
    /// # Errors
    /// A signing secret or the token endpoint cannot be used.
    pub(crate) fn new(
        target: Arc<Target>,
        connector: Arc<dyn Connector>,
        clock: Arc<dyn Clock>,
        tracer: Option<Arc<dyn Tracer>>,
    ) -> Result<Endpoint, String> {
        let template = RequestTemplate::new(target)?;
        Ok(Endpoint {
            access_tokens: template.access_tokens()?,
            template,
            connector,
            clock,
            tracer,
            recalls: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            stoppers: Mutex::new(HashMap::new()),
        })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.template.target
    }

    /// Makes the senders return waiting jobs untried.
    pub(crate) fn recall(&self) {
        self.recalls.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether a job that was handed out under this number of recalls may be attempted.
    pub(crate) fn is_current(&self, recalls: u64) -> bool {
        recalls == self.recalls.load(Ordering::SeqCst) && !self.is_stopping()
    }

    /// Aborts the attempts under way, and makes every later one fail at once.
    pub(crate) fn stop(&self) {
        if self.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        let stoppers = self.stoppers.lock().unwrap_or_else(PoisonError::into_inner);
        for stop in stoppers.values() {
            stop();
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Makes a transport for the sender of this number.
    ///
    /// # Errors
    /// The target's settings cannot be used, or the endpoint was stopped.
    pub(crate) fn transport(&self, sender: usize) -> Result<Box<dyn Transport>, TransportError> {
        self.transport_to(self.target(), sender)
    }

    /// Makes a transport for a request to the token endpoint.
    ///
    /// # Errors
    /// As [`Self::transport`].
    pub(crate) fn token_transport(
        &self,
        token_endpoint: &Target,
    ) -> Result<Box<dyn Transport>, TransportError> {
        self.transport_to(token_endpoint, TOKEN_TRANSPORT)
    }

    /// Makes a transport that [`Self::stop`] stops, instead of the one before it under this number.
    fn transport_to(
        &self,
        target: &Target,
        number: usize,
    ) -> Result<Box<dyn Transport>, TransportError> {
        let transport = self.connector.transport(target)?;
        let stopper = transport.stopper();
        self.stoppers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, stopper);
        if self.is_stopping() {
            // `stop` may have run before the stopper was added.
            return Err(TransportError::stopped());
        }
        Ok(transport)
    }

    /// Removes the stopper of a sender that has ended.
    pub(crate) fn forget(&self, sender: usize) {
        self.stoppers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&sender);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("target", &self.target().name())
            .finish_non_exhaustive()
    }
}
