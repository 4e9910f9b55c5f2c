//! Reads bodies in pieces, within limits of time and size.

use super::answer::Complaint;
use crate::http::Activity;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Bytes, Incoming};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A request's body, as it arrives.
#[derive(Debug)]
pub(super) struct Pieces {
    body: Incoming,
    activity: Option<Arc<Activity>>,
    most: usize,
    read: usize,
    timeout: Duration,
    until: Instant,
    ended: bool,
    failed: bool,
}

impl Pieces {
    /// A peer has `timeout` to send each event.
    pub(super) fn new(
        body: Incoming,
        activity: Option<Arc<Activity>>,
        timeout: Duration,
    ) -> Pieces {
        Pieces {
            body,
            activity,
            most: 0,
            read: 0,
            timeout,
            until: Instant::now() + timeout,
            ended: false,
            failed: false,
        }
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

    /// Bytes that are still to arrive, if there is a Content-Length.
    pub(super) fn remaining(&self) -> usize {
        usize::try_from(self.body.size_hint().lower()).unwrap_or(0)
    }

    /// Whether all of it was read.
    pub(super) fn is_complete(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    /// Another event begins, and the peer's time for it.
    pub(super) fn begin_event(&mut self) {
        self.until = Instant::now() + self.timeout;
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The body is too long, breaks off, or does not arrive in time.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Complaint> {
        if let Some(activity) = &self.activity {
            activity.reads_body();
        }
        let next = self.next_data().await;
        if let Some(activity) = &self.activity {
            activity.works();
        }
        self.failed |= next.is_err();
        next
    }

    async fn next_data(&mut self) -> Result<Option<Bytes>, Complaint> {
        loop {
            let frame = tokio::time::timeout_at(self.until.into(), self.body.frame())
                .await
                .map_err(|_| {
                    Complaint::new(
                        StatusCode::REQUEST_TIMEOUT,
                        format!(
                            "the body did not arrive in time: {:?} for an event",
                            self.timeout
                        ),
                    )
                })?;
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
            self.read += data.len();
            if self.read > self.most {
                return Err(too_long(self.most));
            }
            return Ok(Some(data));
        }
    }
}

fn too_long(most: usize) -> Complaint {
    Complaint::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is longer than {most} bytes; send less at once"),
    )
}
