//! Takes an event from `submit` to the queue's writer: fields, routing, receipt. May use the
//! workers' handles and the layers below.

mod dry_run;
mod filter;
mod input_table;
mod news;
mod prepared_event;
mod read_event;
mod receipt;
mod router;
mod routing_table;
mod storage;
mod submission;
mod submitter;
mod undecided;
mod writer;

pub use self::dry_run::{DryRun, ParsedEvent, TargetRoute, dry_run};
pub use self::receipt::{Receipt, SubmitError};
pub(crate) use self::router::Router;
pub(crate) use self::routing_table::{RoutingTable, TargetEntry};
pub(crate) use self::storage::Storage;
pub use self::submission::Submission;
pub use self::submitter::Submitter;
