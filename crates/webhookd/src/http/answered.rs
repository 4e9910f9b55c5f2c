//! The body of a response, which tells the connection's activity when all of it is taken.

use super::activity::Activity;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

/// A body that is dropped once all of it is in the buffer to be written.
pub(super) struct Answered<B> {
    body: B,
    activity: Arc<Activity>,
}

impl<B> Answered<B> {
    pub(super) fn new(body: B, activity: Arc<Activity>) -> Answered<B> {
        Answered { body, activity }
    }
}

impl<B: Body + Unpin> Body for Answered<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Answered<B> {
    fn drop(&mut self) {
        self.activity.answers();
    }
}
