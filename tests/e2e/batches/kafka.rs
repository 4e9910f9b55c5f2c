//! Batches to proxies of Kafka, whose answers report on each record.

use super::{Running, events, events_in, target};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use testkit::{Folder, Receiver, Reply, Request, event};

/// How a proxy reports on a record.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Dialect {
    Confluent,
    Strimzi,
    Karapace,
    /// Of each partition in no order, instead of each record.
    Redpanda,
    /// One of the others for each record.
    Mixture,
}

/// Partitions of the topic.
const PARTITIONS: usize = 4;

/// A record: its key, and the number of its event.
type Record = (String, u64);

/// A topic behind a proxy.
#[derive(Clone, Default)]
struct Topic(Arc<Mutex<Vec<Record>>>);

impl Topic {
    /// A proxy that speaks this dialect, and whose broker rejects some records of the first request.
    fn behind(
        &self,
        dialect: Dialect,
        rejects: impl Fn(&Record) -> bool + Send + Sync + 'static,
    ) -> Receiver {
        let topic = self.clone();
        Receiver::start(move |request| {
            let rejects = |record: &Record| request.number == 0 && rejects(record);
            let records = records(request);
            let offsets = match dialect {
                Dialect::Redpanda => topic.take_by_partition(&records, rejects),
                _ => topic.take(dialect, &records, rejects),
            };
            let body = json!({ "offsets": offsets, "key_schema_id": null }).to_string();
            Reply::status(200)
                .header("Content-Type", "application/vnd.kafka.v2+json")
                .body(body)
        })
    }

    fn take(
        &self,
        dialect: Dialect,
        records: &[Record],
        rejects: impl Fn(&Record) -> bool,
    ) -> Vec<Value> {
        let numbered = records.iter().enumerate();
        let offsets = numbered.map(|(index, record)| {
            let taken = !rejects(record);
            let offset = self.add(record, taken);
            dialect.report(index, partition(record), taken.then_some(offset))
        });
        offsets.collect()
    }

    fn take_by_partition(
        &self,
        records: &[Record],
        rejects: impl Fn(&Record) -> bool,
    ) -> Vec<Value> {
        let mut partitions: BTreeMap<usize, Vec<&Record>> = BTreeMap::new();
        for record in records {
            partitions
                .entry(partition(record))
                .or_default()
                .push(record);
        }
        let reports = partitions.into_iter().rev().map(|(partition, records)| {
            // The records of a partition are one batch of the broker.
            let taken = !records.iter().any(|record| rejects(record));
            for record in records {
                self.add(record, taken);
            }
            match taken {
                true => json!({ "partition": partition, "offset": 7 }),
                false => json!({ "partition": partition, "error_code": 6, "offset": -1 }),
            }
        });
        reports.collect()
    }

    fn add(&self, record: &Record, taken: bool) -> usize {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken {
            log.push(record.clone());
        }
        log.len()
    }

    fn log(&self) -> Vec<Record> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Dialect {
    /// What an answer says of a record: with its offset if it was taken.
    fn report(self, index: usize, partition: usize, offset: Option<usize>) -> Value {
        match (self, offset) {
            (Dialect::Mixture, _) => {
                let all = [Dialect::Confluent, Dialect::Strimzi, Dialect::Karapace];
                all[index % all.len()].report(index, partition, offset)
            }
            (Dialect::Confluent, Some(offset)) => json!({
                "partition": partition, "offset": offset, "error_code": null, "error": null,
            }),
            (Dialect::Confluent, None) => json!({
                "partition": null, "offset": null, "error_code": 50_003, "error": "not the leader",
            }),
            (Dialect::Strimzi, None) => json!({ "error_code": 500, "message": "not the leader" }),
            (Dialect::Karapace, Some(_)) => json!({ "partition": partition, "offset": -1 }),
            (_, None) => json!({ "error_code": 1, "error": "not the leader" }),
            (_, Some(offset)) => json!({ "partition": partition, "offset": offset }),
        }
    }
}

fn partition((key, _): &Record) -> usize {
    key.bytes().map(usize::from).sum::<usize>() % PARTITIONS
}

/// The records of a produce request, whose keys are those of the events.
fn records(request: &Request) -> Vec<Record> {
    let body: Value = serde_json::from_slice(&request.body).expect("it is JSON");
    let records = body["records"].as_array().expect("records").iter();
    let read = records.map(|record| {
        let event = &record["value"]["task"];
        let key = event["assignedTask"]["taskId"].as_str().expect("a task");
        assert_eq!(record["key"], key);
        let number = event["failureCount"].as_u64().expect("a number");
        (key.to_owned(), number)
    });
    read.collect()
}

/// The records that are sent again after these failed: they, and those behind them of the same key.
fn with_followers(all: &[Record], failed: &HashSet<Record>) -> BTreeSet<Record> {
    let mut keys = HashSet::new();
    let again = all.iter().filter(|record| {
        if failed.contains(record) {
            keys.insert(&record.0);
        }
        keys.contains(&record.0)
    });
    again.cloned().collect()
}

/// Each key's events in the order of their last arrivals.
fn last_arrivals(log: &[Record]) -> BTreeMap<&str, Vec<u64>> {
    let mut keys: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (key, number) in log {
        let numbers = keys.entry(key).or_default();
        numbers.retain(|known| known != number);
        numbers.push(*number);
    }
    keys
}

#[test]
fn records_that_failed_are_sent_again_with_those_behind_them_of_the_same_key() {
    for dialect in [
        Dialect::Confluent,
        Dialect::Strimzi,
        Dialect::Karapace,
        Dialect::Redpanda,
        Dialect::Mixture,
    ] {
        let sent = events(40, 8);
        let all: Vec<Record> = (0..40)
            .map(|number| (format!("task-{}", number % 8), number))
            .collect();
        // The second of a key's events, the first of another, and all of a third.
        let failed: HashSet<Record> = all
            .iter()
            .filter(|(key, number)| *number == 11 || *number == 5 || key == "task-6")
            .cloned()
            .collect();
        let topic = Topic::default();
        let proxy = topic.behind(dialect, {
            let failed = failed.clone();
            move |record| failed.contains(record)
        });
        let folder = Folder::new();
        let running = Running::start(&folder, &target(&proxy.url(), "kafka-rest-v2", 40));
        running.accept_together(&sent);
        running.wait_for_delivered(40);
        let requests = proxy.requests();
        assert_eq!(records(&requests[0]), all, "one request has all events");

        let again: Vec<Record> = requests[1..].iter().flat_map(records).collect();
        let expected = match dialect {
            // Which records were taken cannot be known.
            Dialect::Redpanda => all.iter().cloned().collect(),
            _ => with_followers(&all, &failed),
        };
        let distinct: BTreeSet<Record> = again.iter().cloned().collect();
        assert_eq!(distinct, expected, "{dialect:?}");
        assert_eq!(again.len(), distinct.len(), "{dialect:?}: once each");
        let log = topic.log();
        for (key, numbers) in last_arrivals(&log) {
            let of_key = all.iter().filter(|record| record.0 == key);
            let expected: Vec<u64> = of_key.map(|record| record.1).collect();
            assert_eq!(numbers, expected, "{dialect:?}: {key}");
        }
        let told = running.stop().expect_code(0).stderr;
        let reason = match dialect {
            Dialect::Redpanda => "partitions rejected their records, the first with error_code 6",
            _ => "7 of 40 records were rejected, the first at index 5: error_code ",
        };
        assert!(told.contains(reason), "{dialect:?}: {told}");
    }
}

#[test]
fn a_receipt_that_does_not_fit_the_request_fails_the_whole_batch() {
    let proxy = Receiver::start(|request| match request.number {
        0 => Reply::status(200)
            .body(r#"{"offsets":[{"partition":0,"offset":1},{"partition":0,"offset":2}]}"#),
        1 => Reply::status(200).body("<html>a proxy's page</html>"),
        _ => Reply::status(200).body(super::taken(&request.body)),
    });
    let folder = Folder::new();
    let running = Running::start(&folder, &target(&proxy.url(), "kafka-rest-v2", 10));
    let sent = events(10, 3);
    running.accept_together(&sent);
    running.wait_for_delivered(10);
    let requests = proxy.requests();
    for request in &requests[..3] {
        assert_eq!(events_in("kafka-rest-v2", &request.body), sent);
        let id = request.header("webhook-id");
        assert_eq!(id, requests[0].header("webhook-id"));
    }
    let told = running.stop().expect_code(0).stderr;
    for reason in [
        "the answer does not fit the request: 2 offsets, 10 records",
        "the answer is not a Kafka REST receipt",
    ] {
        assert!(told.contains(reason), "{told}");
    }
}

#[test]
fn a_record_that_keeps_failing_becomes_a_dead_letter_and_holds_no_other_key() {
    let proxy = Receiver::start(|request| {
        let offsets: Vec<Value> = records(request)
            .iter()
            .enumerate()
            .map(|(index, record)| {
                let offset = (record.1 != 4).then_some(index);
                Dialect::Confluent.report(index, partition(record), offset)
            })
            .collect();
        Reply::status(200).body(json!({ "offsets": offsets }).to_string())
    });
    let folder = Folder::new();
    let mut settings = target(&proxy.url(), "kafka-rest-v2", 20);
    settings["retry"] = json!({ "initialMsec": 1, "maxMsec": 5, "maxAttempts": 3 });
    let running = Running::start(&folder, &settings);
    let mut sent = events(20, 5);
    sent.push(event("task-4", 100));
    running.accept_together(&sent);
    running.wait_for_delivered(20);
    running.admin.wait_for("audit", "deadHeld", 1);
    let letters = running.admin.get("/api/v1/dead-letters")["deadLetters"].take();
    assert_eq!(letters[0]["task"], "task-4", "{letters}");
    assert_eq!(letters[0]["reason"], "attempts-exhausted");
    running.stop().expect_code(1);
}
