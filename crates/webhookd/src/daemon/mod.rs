//! The running program: its state and its health, as the admin API shows them, and the tasks that
//! run beside the deliveries.

mod alert;
mod background;
mod disk_probe;
mod health;
mod history;
mod queue_log;
mod state;

pub(crate) use alert::Alert;
pub(crate) use background::BackgroundTasks;
pub(crate) use health::Reason;
pub(crate) use history::{HistoryShown, INTERVAL};
pub(crate) use state::{Daemon, Snapshot, epoch_ms};
