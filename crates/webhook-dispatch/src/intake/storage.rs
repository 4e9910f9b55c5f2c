//! The queue, and the threads that use it besides the workers.

use crate::intake::news::{NewsReader, PendingCounts};
use crate::intake::writer::Writer;
use crate::shared::Clock;
use crate::worker::handle::ReliableHandles;
use std::sync::Arc;
use webhook_queue::Queue;

/// The queue, and the threads that use it besides the workers.
pub(crate) struct Storage {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) writer: Arc<Writer>,
    /// Of a shared queue.
    pub(crate) news: Option<NewsReader>,
}

impl Storage {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system provided no thread.
    pub(crate) fn start(
        queue: Arc<dyn Queue>,
        handles: ReliableHandles,
        when_full: webhook_config::WhenFull,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Storage> {
        let counts = queue.is_shared().then(|| {
            let (queue, handles) = (Arc::clone(&queue), Arc::clone(&handles));
            Arc::new(PendingCounts::new(queue, handles))
        });
        let (known, shared) = (Arc::clone(&queue), counts.clone());
        let writer = Writer::start(known, handles, when_full, clock, shared)?;
        let storage = Storage {
            queue,
            writer: Arc::new(writer),
            news: None,
        };
        match counts.map(NewsReader::start) {
            None => Ok(storage),
            Some(Ok(news)) => Ok(Storage {
                news: Some(news),
                ..storage
            }),
            Some(Err(error)) => {
                storage.shutdown();
                Err(error)
            }
        }
    }

    /// Writes what is waiting, and ends the threads.
    pub(crate) fn shutdown(&self) {
        self.writer.shutdown();
        if let Some(news) = &self.news {
            news.shutdown();
        }
    }
}
