//! Reads bodies in pieces, within limits of time and size.

use super::answer::Complaint;
use super::budget::Budget;
use crate::http::Activity;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Bytes, Frame, Incoming};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// The pause between two checks whether a slow body must give way.
const CHECK: Duration = Duration::from_millis(500);

/// A frame of a body; `None` at its end.
type MaybeFrame = Option<Result<Frame<Bytes>, hyper::Error>>;

/// A request's body, as it arrives.
#[derive(Debug)]
pub(super) struct Pieces {
    body: Incoming,
    activity: Arc<Activity>,
    budget: Budget,
    most: usize,
    read: usize,
    timeout: Duration,
    /// The time that the peer has left for the event. It passes only while a piece is awaited.
    left: Duration,
    /// Whether memory is reserved for it.
    reserved: bool,
    ended: bool,
    failed: bool,
    /// Whether what is over the limit is read and discarded, instead of being an error.
    discards: bool,
}

impl Pieces {
    /// A peer has `timeout` to send each event.
    pub(super) fn new(
        body: Incoming,
        activity: Arc<Activity>,
        budget: Budget,
        timeout: Duration,
    ) -> Pieces {
        Pieces {
            body,
            activity,
            budget,
            most: 0,
            read: 0,
            timeout,
            left: timeout,
            reserved: false,
            ended: false,
            failed: false,
            discards: false,
        }
    }

    /// Sets the limit in bytes. What comes after it is read, and discarded.
    pub(super) fn allow_beginning(&mut self, most: usize) {
        self.most = most;
        self.discards = true;
    }

    /// The bytes that were read and discarded, if there were any.
    pub(super) fn discarded(&self) -> Option<usize> {
        self.read.checked_sub(self.most).filter(|bytes| *bytes > 0)
    }

    /// Sets the limit in bytes.
    ///
    /// # Errors
    /// The body is longer, by its Content-Length.
    pub(super) fn allow(&mut self, most: usize) -> Result<(), Complaint> {
        self.most = most;
        if self.body.size_hint().lower() > most as u64 {
            return Err(too_long(most));
        }
        Ok(())
    }

    /// Whether a part of it was not read.
    pub(super) fn is_unread(&self) -> bool {
        self.failed || !self.is_complete()
    }

    /// The bytes of the rest, at most: by its Content-Length, or else by the limit.
    pub(super) fn longest(&self) -> usize {
        let exact = self.body.size_hint().exact();
        let longest = exact.map_or(self.most, |exact| {
            usize::try_from(exact).unwrap_or(usize::MAX)
        });
        match self.discards {
            true => longest.min(self.most),
            false => longest,
        }
    }

    /// Whether its length is known before it has arrived.
    pub(super) fn has_length(&self) -> bool {
        self.body.size_hint().exact().is_some()
    }

    /// Memory is reserved for it: from now on it must not be slow while others wait for memory.
    pub(super) fn is_reserved(&mut self) {
        self.reserved = true;
    }

    /// Whether all of it was read.
    pub(super) fn is_complete(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    /// Another event begins, and the peer's time for it.
    pub(super) fn begin_event(&mut self) {
        self.left = self.timeout;
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The body is too long, breaks off, or does not arrive in time.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Complaint> {
        self.activity.reads_body();
        let next = self.next_data().await;
        self.activity.works();
        self.failed |= next.is_err();
        next
    }

    async fn next_data(&mut self) -> Result<Option<Bytes>, Complaint> {
        loop {
            let frame = match self.arrived_frame().await {
                Some(frame) => frame,
                None => self.awaited_frame().await?,
            };
            let data = match frame {
                None => {
                    self.ended = true;
                    return Ok(None);
                }
                Some(Ok(frame)) => frame.into_data(),
                Some(Err(error)) => {
                    return Err(Complaint::new(
                        StatusCode::BAD_REQUEST,
                        format!("the body breaks off: {error}"),
                    ));
                }
            };
            // Trailers are ignored.
            let Ok(data) = data else { continue };
            if data.is_empty() {
                continue;
            }
            let room = self.most.saturating_sub(self.read);
            self.read = self.read.saturating_add(data.len());
            if data.len() <= room {
                return Ok(Some(data));
            }
            if !self.discards {
                return Err(too_long(self.most));
            }
            if room > 0 {
                return Ok(Some(data.slice(..room)));
            }
        }
    }

    /// The next frame, if it has arrived, as it mostly has with the head. It takes no timer.
    async fn arrived_frame(&mut self) -> Option<MaybeFrame> {
        let mut was_asked = false;
        poll_fn(|context| {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(frame) => Poll::Ready(Some(frame)),
                Poll::Pending if was_asked => Poll::Ready(None),
                Poll::Pending => {
                    // The connection reads the body only after the first poll.
                    was_asked = true;
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Waits for the next frame, in the peer's time.
    async fn awaited_frame(&mut self) -> Result<MaybeFrame, Complaint> {
        let began = Instant::now();
        let frame = self.next_frame(began + self.left).await;
        self.left = self.left.saturating_sub(began.elapsed());
        frame
    }

    async fn next_frame(&mut self, until: Instant) -> Result<MaybeFrame, Complaint> {
        loop {
            let check = match self.reserved {
                true => self.activity.is_slow_from().max(Instant::now() + CHECK),
                false => until,
            };
            let frame = tokio::time::timeout_at(check.min(until).into(), self.body.frame()).await;
            let now = Instant::now();
            match frame {
                Ok(frame) => return Ok(frame),
                Err(_) if now >= until => {
                    return Err(Complaint::new(
                        StatusCode::REQUEST_TIMEOUT,
                        format!(
                            "the body did not arrive in time: {:?} for an event",
                            self.timeout
                        ),
                    ));
                }
                Err(_) if now >= self.activity.is_slow_from() && self.budget.is_pressed() => {
                    return Err(Complaint::new(
                        StatusCode::REQUEST_TIMEOUT,
                        "the body arrived slower than --min-rate while other requests waited for \
                         memory; send it again",
                    ));
                }
                Err(_) => {}
            }
        }
    }
}

pub(super) fn too_long(most: usize) -> Complaint {
    Complaint::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is longer than {most} bytes; send less at once"),
    )
}
