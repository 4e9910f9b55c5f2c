//! The queue in PostgreSQL behaves like the queue in memory, over reopening.

use crate::open::{open, settings};
use crate::steps::{Tested, compare, step};
use crate::support::View;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use testkit::Postgres;
use webhook_queue::{DuplicateWindow, MemoryQueue, Queue};
use webhook_queue_postgres::{PostgresQueue, Settings};

const MAX: u64 = 64 << 20;
/// More than there are keys: those over the bound are forgotten after the commit, not within it.
const STATES: u64 = 10;
/// Milliseconds: more than the clocks of a process and its server differ in a test.
const TIME_UNIT: u64 = 100_000;

/// A queue in a schema of its own.
struct InPostgres<'p> {
    postgres: &'p Postgres,
    settings: Settings,
    /// `None` while it is opened again.
    queue: Option<PostgresQueue>,
}

impl Tested for InPostgres<'_> {
    fn queue(&self) -> &dyn Queue {
        self.queue.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.queue.take().unwrap().close().unwrap();
        self.queue = Some(open(self.postgres, self.settings.clone()));
    }

    fn time_unit(&self) -> u64 {
        TIME_UNIT
    }

    fn comparable(&self, view: View) -> View {
        // It also knows targets that nothing was stored for, or nothing is any more.
        let (mut targets, mut owed) = (Vec::new(), Vec::new());
        for ((name, pending, _, dead), of_target) in view.targets.into_iter().zip(view.owed) {
            if pending > 0 || dead != [0; 2] {
                // The time of the oldest is read now and then.
                targets.push((name, pending, None, dead));
                owed.push(of_target);
            } else {
                assert_eq!(of_target, [], "{name}");
            }
        }
        View {
            targets,
            owed,
            // An event counts for each of its targets.
            events: 0,
            ..view
        }
    }
}

#[test]
fn the_database_and_the_memory_agree_over_reopening() {
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    // So few keys and so short an age that both bounds are reached.
    let window = DuplicateWindow {
        age_ms: 20 * TIME_UNIT,
        keys: 6,
    };
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 8,
        // A case takes a second.
        max_shrink_iters: 30,
        source_file: Some(file!()),
        ..ProptestConfig::default()
    });
    let number = std::cell::Cell::new(0);
    let steps = prop::collection::vec(step(), 1..24);
    let result = runner.run(&steps, |steps| {
        number.set(number.get() + 1);
        let schema = format!("case_{}", number.get());
        let settings = Settings {
            window,
            max_bytes: MAX,
            max_last_states: STATES,
            ..settings(&postgres.url(), &schema)
        };
        let mut tested = InPostgres {
            postgres: &postgres,
            queue: Some(open(&postgres, settings.clone())),
            settings,
        };
        let memory = MemoryQueue::with_window(MAX, window).with_max_last_states(STATES);
        compare(&mut tested, &memory, &steps);
        tested.queue().close().unwrap();
        postgres.query(&format!("DROP SCHEMA {schema} CASCADE"));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
