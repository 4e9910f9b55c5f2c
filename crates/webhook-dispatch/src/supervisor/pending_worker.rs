//! Threads of workers: started before they begin, and joined after they have ended.

use crate::worker::handle::TargetHandle;
use crate::worker::{Worker, WorkerContext};
use crossbeam_channel::{Receiver, Sender};
use std::convert::Infallible;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A worker that runs.
pub(crate) struct WorkerHandle {
    pub(crate) thread: JoinHandle<()>,
    /// Disconnected once it has ended.
    pub(crate) ended: Receiver<Infallible>,
}

/// A worker whose thread waits for its beginning. Dropped, it never begins.
pub(crate) struct PendingWorker {
    begin: Sender<()>,
    worker: WorkerHandle,
}

/// Marks a worker that panics as ended.
struct EndOnPanic(Arc<TargetHandle>);

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

impl PendingWorker {
    /// Starts a thread that becomes a worker when it is told to begin.
    ///
    /// # Errors
    /// The system refused a thread.
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
            .expect("a pending worker waits for its beginning");
        self.worker
    }

    /// Ends the thread without a beginning.
    pub(crate) fn cancel(self) -> JoinHandle<()> {
        self.worker.thread
    }
}
