//! A target's receiver during one run of webhookd, and the log of what arrived over all runs.

use crate::behaviour::{Action, Behaviour};
use crate::events::task_of;
use crate::history::{Answer, Arrival, Body, RunNumber, parse_id};
use crate::targets::GOOD_TIME;
use fastrand::Rng;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use testkit::{Connection, Port, Reply, Server, Waits};

/// What arrived at a target, in order.
#[derive(Debug, Default)]
pub(crate) struct ArrivalLog(Mutex<Vec<Arrival>>);

impl ArrivalLog {
    pub(crate) fn arrivals(&self) -> MutexGuard<'_, Vec<Arrival>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bodies that are still to arrive at a target.
#[derive(Debug)]
pub(crate) struct Awaited {
    log: Arc<ArrivalLog>,
    bodies: HashSet<Body>,
    /// Arrivals that were looked at.
    seen: usize,
}

impl Awaited {
    /// Those that arrive from now on.
    pub(crate) fn new(log: &Arc<ArrivalLog>, bodies: HashSet<Body>) -> Awaited {
        Awaited {
            log: Arc::clone(log),
            bodies,
            seen: log.arrivals().len(),
        }
    }

    /// Whether all have arrived.
    pub(crate) fn have_arrived(&mut self) -> bool {
        let arrivals = self.log.arrivals();
        for arrival in &arrivals[self.seen..] {
            self.bodies.remove(&arrival.body);
        }
        self.seen = arrivals.len();
        self.bodies.is_empty()
    }
}

/// How a receiver behaves, and in which run, as of now.
pub(crate) type Scene = Arc<Mutex<(Behaviour, RunNumber)>>;

/// Takes a port, opens it when its behaviour says so, and logs what arrives.
pub(crate) fn start(
    log: &Arc<ArrivalLog>,
    behaviour: Behaviour,
    run: RunNumber,
    seed: u64,
) -> Server {
    start_changing(log, &Arc::new(Mutex::new((behaviour, run))), seed)
}

/// The same, of a receiver whose behaviour and run may change, but for the hours of its port.
pub(crate) fn start_changing(log: &Arc<ArrivalLog>, scene: &Scene, seed: u64) -> Server {
    let (log, scene) = (Arc::clone(log), Arc::clone(scene));
    let hours = now(&scene).0.hours;
    Port::take().listen_during(hours, move |connection| {
        let number = connection.number as u64 + 1;
        let mut random = Rng::with_seed(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        while serve(connection, &scene, &log, &mut random) {}
    })
}

fn now(scene: &Scene) -> (Behaviour, RunNumber) {
    *scene.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers a request; whether the connection goes on.
fn serve(connection: &mut Connection, scene: &Scene, log: &ArrivalLog, random: &mut Rng) -> bool {
    if connection.head().is_none() {
        return false;
    }
    let (behaviour, _) = now(scene);
    let action = behaviour.profile.action(random);
    let closes = behaviour.hours.closes_after.is_some();
    let (reply, answer) = match action {
        Action::Reply(reply, answer) if !(closes && connection.is_port_closed()) => (reply, answer),
        _ => {
            connection.reset();
            return false;
        }
    };
    let Some(request) = connection.request() else {
        return false;
    };
    let id = request.headers("webhook-id").next().and_then(parse_id);
    let body = Body::of(request.body);
    let poison = behaviour.poison;
    let hit = poison.filter(|poison| task_of(request.body).is_some_and(|it| poison.hits(it)));
    let (reply, answer) = match hit {
        Some(poison) => (Reply::status(poison.status).body("no"), Answer::Failure),
        None => (reply, answer),
    };
    let place = {
        let mut arrivals = log.arrivals();
        let (_, run) = now(scene);
        arrivals.push(Arrival {
            id,
            body,
            run,
            at: Instant::now(),
            answer: Answer::Failure,
        });
        arrivals.len() - 1
    };
    let began = Instant::now();
    let goes_on = reply.send(connection, &Pauses);
    // The sender may have given up before the request was read, on a machine under load.
    let in_time = began.elapsed() <= GOOD_TIME && !connection.is_closed_by_peer();
    log.arrivals()[place].answer = match answer {
        Answer::Success if !in_time => Answer::MaybeSuccess,
        answer => answer,
    };
    goes_on
}

/// Pauses that the end of the receiver does not cut short: the sender ends the connection.
struct Pauses;

impl Waits for Pauses {
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn wait_for_release(&self) {}
}
