//! What is done to the workers and their database, drawn from the seed.

use fastrand::Rng;
use std::time::Duration;
use testkit::Stop;

/// The lease of the workers: shorter than the default, so that many fit into a minute.
pub(crate) const LEASE: Duration = Duration::from_millis(2_000);

/// Something that is done to the workers or their database, and undone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Incident {
    /// SIGKILL to a worker, which is started again after this time.
    Kill(usize, Duration),
    /// SIGKILL to all workers, which are started again at once.
    KillAll,
    /// SIGTERM to a worker, which is started again once it has ended.
    Restart(usize),
    /// SIGSTOP to a worker, and SIGCONT after this time.
    Pause(usize, Duration),
    /// The database is stopped, and started again after this time.
    Database(Stop, Duration),
    /// Every connection to the database is cut, so many times.
    Cut(u32),
}

impl Incident {
    /// The names of the kinds.
    pub(crate) const NAMES: [&str; 9] = [
        "kill",
        "kill past lease",
        "kill of all",
        "restart",
        "pause",
        "pause past lease",
        "database crash",
        "database restart",
        "cut connections",
    ];

    /// The next one; of these many workers.
    pub(crate) fn draw(random: &mut Rng, workers: usize) -> Incident {
        let worker = random.usize(..workers);
        let mut millis = |from: u64, to: u64| Duration::from_millis(random.u64(from..to));
        let lease = LEASE.as_millis() as u64;
        let past_lease = millis(lease + 500, lease + 1_500);
        let soon = millis(0, 300);
        match random.usize(..100) {
            0..20 => Incident::Kill(worker, soon),
            20..32 => Incident::Kill(worker, past_lease),
            32..40 => Incident::KillAll,
            40..50 => Incident::Restart(worker),
            50..56 => Incident::Pause(worker, soon),
            56..68 => Incident::Pause(worker, past_lease),
            68..78 => Incident::Database(Stop::Immediate, soon),
            78..82 => Incident::Database(Stop::Kill, past_lease),
            82..87 => Incident::Database(Stop::Fast, soon),
            _ => Incident::Cut(random.u32(1..8)),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Incident::Kill(_, down) if down > LEASE => "kill past lease",
            Incident::Kill(..) => "kill",
            Incident::KillAll => "kill of all",
            Incident::Restart(_) => "restart",
            Incident::Pause(_, length) if length > LEASE => "pause past lease",
            Incident::Pause(..) => "pause",
            Incident::Database(Stop::Fast, _) => "database restart",
            Incident::Database(..) => "database crash",
            Incident::Cut(_) => "cut connections",
        }
    }
}
