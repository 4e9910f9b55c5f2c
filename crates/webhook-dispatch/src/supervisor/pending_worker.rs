//! A worker's thread, started before the worker begins: starting a thread can fail, beginning
//! cannot.

use crate::worker::handle::TargetHandle;
use crate::worker::{Worker, WorkerContext};
use crossbeam_channel::{Receiver, Sender};
use std::convert::Infallible;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A running worker.
pub(crate) struct WorkerHandle {
    pub(crate) thread: JoinHandle<()>,
    /// Disconnected once the worker has ended.
    pub(crate) ended: Receiver<Infallible>,
}

/// A worker whose thread runs and waits for [`begin`](Self::begin). Dropped, the thread ends.
pub(crate) struct PendingWorker {
    begin: Sender<()>,
    worker: WorkerHandle,
}

/// Marks the worker as ended if it panics.
struct EndOnPanic(Arc<TargetHandle>);

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

impl PendingWorker {
    /// Starts the thread of a worker.
    ///
    /// # Errors
    /// The system provided no thread.
    pub(crate) fn start(context: WorkerContext) -> std::io::Result<PendingWorker> {
        let handle = Arc::clone(&context.handle);
        let (begin, begins) = crossbeam_channel::bounded(1);
        let (ending, ended) = crossbeam_channel::bounded(0);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{}", handle.name))
            .spawn(move || {
                let _ending: Sender<Infallible> = ending;
                if begins.recv().is_ok() {
                    let _end = EndOnPanic(handle);
                    Worker::new(context).run();
                }
            })?;
        let worker = WorkerHandle { thread, ended };
        Ok(PendingWorker { begin, worker })
    }

    pub(crate) fn begin(self) -> WorkerHandle {
        self.begin
            .send(())
            .expect("the thread of a pending worker receives");
        self.worker
    }

    /// Ends the thread; the worker never begins.
    pub(crate) fn cancel(self) -> JoinHandle<()> {
        self.worker.thread
    }
}
