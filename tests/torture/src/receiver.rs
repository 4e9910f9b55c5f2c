//! A target's receiver during one run of webhookd, and the log of what arrived over all runs.

use crate::behaviour::{Action, Behaviour};
use crate::events::task_of;
use crate::history::{Answer, Arrival, Body, Id, Poison, RunNumber, parse_batch_id, parse_id};
use crate::targets::GOOD_TIME;
use fastrand::Rng;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use testkit::{Connection, Message, Port, Reply, Server, Waits};

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
    /// Arrivals before those that count.
    start: usize,
}

impl Awaited {
    /// Those that arrive from now on.
    pub(crate) fn new(log: &Arc<ArrivalLog>, bodies: HashSet<Body>) -> Awaited {
        Awaited {
            log: Arc::clone(log),
            bodies,
            start: log.arrivals().len(),
        }
    }

    /// Whether all have arrived, and were not answered with failures alone.
    pub(crate) fn have_arrived(&mut self) -> bool {
        let arrivals = self.log.arrivals();
        for arrival in &arrivals[self.start..] {
            if arrival.answer != Answer::Failure {
                self.bodies.remove(&arrival.body);
            }
        }
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
    let events = Events::of(&request);
    let poison = behaviour.poison;
    let is_hit = |poison: &Poison| {
        let mut bodies = events.bodies.iter();
        bodies.any(|body| task_of(body).is_some_and(|task| poison.hits(task)))
    };
    let (reply, answer) = match poison.filter(is_hit) {
        Some(poison) => (Reply::status(poison.status).body("no"), Answer::Failure),
        // The events of a batch that is refused are tried apart.
        None if answer == Answer::Refusal && events.batch.is_some() => (reply, Answer::Failure),
        None => (reply, answer),
    };
    let places = {
        let mut arrivals = log.arrivals();
        let (_, run) = now(scene);
        let (start, at) = (arrivals.len(), Instant::now());
        arrivals.extend(
            events
                .ids
                .iter()
                .zip(&events.bodies)
                .map(|(id, body)| Arrival {
                    id: *id,
                    batch: events.batch,
                    body: Body::of(body),
                    run,
                    at,
                    answer: Answer::Failure,
                }),
        );
        start..arrivals.len()
    };
    let began = Instant::now();
    let goes_on = reply.send(connection, &Pauses);
    // The sender may have given up before the request was read, on a machine under load.
    let in_time = began.elapsed() <= GOOD_TIME && !connection.is_closed_by_peer();
    let answer = match answer {
        Answer::Success if !in_time => Answer::MaybeSuccess,
        answer => answer,
    };
    for arrival in &mut log.arrivals()[places] {
        arrival.answer = answer;
    }
    goes_on
}

/// The events of a request.
struct Events<'m> {
    /// The id and the whole body of the request, if it is a batch.
    batch: Option<(Id, Body)>,
    /// One for each body.
    ids: Vec<Option<Id>>,
    bodies: Vec<&'m [u8]>,
}

impl<'m> Events<'m> {
    fn of(request: &Message<'m>) -> Events<'m> {
        let whole = request.body;
        let id = request.headers("webhook-id").next().unwrap_or_default();
        let is_ndjson = request
            .headers("content-type")
            .any(|it| it == "application/x-ndjson");
        // Without the line feed at its end, it is a body that was never sent.
        let lines = whole.strip_suffix(b"\n").filter(|_| is_ndjson);
        let bodies: Vec<_> = match lines {
            Some(lines) => lines.split(|byte| *byte == b'\n').collect(),
            None => vec![whole],
        };
        let Some(batch) = parse_batch_id(id) else {
            return Events {
                batch: None,
                ids: vec![parse_id(id); bodies.len()],
                bodies,
            };
        };
        let listed = request.headers("webhook-event-ids");
        let mut ids: Vec<_> = listed
            .flat_map(|ids| ids.split(','))
            .map(parse_id)
            .collect();
        if ids.len() != bodies.len() {
            ids = vec![None; bodies.len()];
        }
        Events {
            batch: Some((batch, Body::of(whole))),
            ids,
            bodies,
        }
    }
}

/// Pauses that the end of the receiver does not cut short: the sender ends the connection.
struct Pauses;

impl Waits for Pauses {
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn wait_for_release(&self) {}
}
