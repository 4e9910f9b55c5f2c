//! A connection that tracks its activity, and closes without cutting off its response.

use super::activity::Activity;
use super::socket::Stream;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Bytes that are read and discarded after a response to a request that was not read to its end. A
/// connection that is closed with unread bytes is reset, and the peer may lose the response.
const LINGER_BYTES: usize = 4 * 1024 * 1024;
/// How long that may take.
const LINGER_TIME: Duration = Duration::from_secs(1);

pub(super) struct Watched {
    stream: Stream,
    activity: Arc<Activity>,
    lingering: Option<Lingering>,
}

struct Lingering {
    left: usize,
    until: Pin<Box<Sleep>>,
}

impl Watched {
    pub(super) fn new(stream: Stream, activity: Arc<Activity>) -> Watched {
        Watched {
            stream,
            activity,
            lingering: None,
        }
    }

    /// Ready once the peer has closed its side, or a limit of lingering is reached.
    fn poll_linger(&mut self, context: &mut task::Context<'_>) -> Poll<()> {
        let lingering = self.lingering.get_or_insert_with(|| Lingering {
            left: LINGER_BYTES,
            until: Box::pin(tokio::time::sleep(LINGER_TIME)),
        });
        let mut room = [0; 8 * 1024];
        while lingering.left > 0 {
            if lingering.until.as_mut().poll(context).is_ready() {
                break;
            }
            let mut buffer = ReadBuf::new(&mut room);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
            let length = buffer.filled().len();
            if read.is_err() || length == 0 {
                break;
            }
            lingering.left = lingering.left.saturating_sub(length);
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - filled;
        if bytes > 0 {
            self.activity.received(bytes);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.activity.wrote(wrote);
        Poll::Ready(Ok(wrote))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices))?;
        self.activity.wrote(wrote);
        Poll::Ready(Ok(wrote))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        // The server flushes the stream only when its own buffer is empty.
        self.activity.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        if self.activity.has_unread() {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}
