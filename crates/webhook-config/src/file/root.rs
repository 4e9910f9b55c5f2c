//! The whole file as a type: the keys that apply to all targets.

use super::input::{InputFile, InputsFile};
use super::mirror::{NoticesFile, QueueFile, TargetFile};
use super::object::file_object;
use super::read::Spanned;
use super::sources::SourceFile;

file_object! {
    /// The configuration: either the keys of one target, as in Aurora's `-webhook_config`, or a
    /// list of `targets`; and the keys that apply to all targets.
    struct ConfigFile {
        /// A list of targets, instead of the keys of one.
        targets: Spanned<Vec<TargetFile>> = "targets", optional;
        /// The default input: events of standard input, of files, and of `POST /events`.
        events: InputFile = "events", optional;
        /// Inputs besides the default one, by name: 1 to 64 of the characters `A-Z a-z 0-9 _ -`, and
        /// not `default` or `notices`. Their events come by `POST /events/NAME` and `--events
        /// NAME=FILE`. At most 64.
        inputs: InputsFile = "inputs", optional;
        /// The queue of undelivered events.
        queue: QueueFile = "queue", optional;
        /// The largest size of an event, and of a line of input, in bytes; 1024 to 67108864.
        max_event_bytes: Spanned<u64> = "maxEventBytes", default(1_048_576);
        /// Streams of events that webhookd reads, besides its command line's `--events` and
        /// `--listen`. They take effect at the next start.
        sources: Spanned<Vec<SourceFile>> = "sources", optional;
        /// Sends events about webhookd itself to a target: a breaker opened, dead letters, a queue
        /// that is nearly full. [operations.md](operations.md#notices) has their JSON.
        notices: NoticesFile = "notices", optional;
    }
}
