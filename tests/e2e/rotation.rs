//! `--follow` over rotations that happen while webhookd is stopped, or waits for room in its queue:
//! every line arrives, in order, or a gap is reported.

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use testkit::{Admin, Folder, Launch, Process, Receiver, Reply, Signal, event};

/// A folder with a followed file, and a receiver.
struct Rotation {
    folder: Folder,
    receiver: Receiver,
    config: PathBuf,
    /// Events written so far.
    count: usize,
}

impl Rotation {
    fn new() -> Rotation {
        Rotation::with_reply(Reply::status(200))
    }

    fn with_reply(reply: Reply) -> Rotation {
        let receiver = Receiver::always(reply);
        let folder = Folder::new();
        let config = folder.config(&json!({
            "headers": {},
            "targetURL": receiver.url(),
            "timeoutMsec": 30_000,
            "responseTimeoutMsec": 30_000,
            "retry": { "initialMsec": 10, "maxMsec": 100 },
            "queue": { "maxBytes": 1 << 20, "whenFull": "block" },
        }));
        Rotation {
            folder,
            receiver,
            config,
            count: 0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self) -> Process {
        let launch = Launch::with_config(&self.config);
        launch
            .args(["--events", "events.ndjson", "--follow", "--admin", "0"])
            .spawn()
    }

    fn body(number: usize) -> String {
        // Events of which the queue holds some hundreds.
        let padding = "x".repeat(2_000);
        event("one", number).replacen(
            "{\"task\"",
            &format!("{{\"padding\":\"{padding}\",\"task\""),
            1,
        )
    }

    /// Appends so many events.
    fn append_to(&mut self, file: &mut File, count: usize) {
        for number in self.count..self.count + count {
            writeln!(file, "{}", Rotation::body(number)).expect("it takes lines");
        }
        self.count += count;
    }

    /// Appends so many events to the followed file.
    fn append(&mut self, count: usize) {
        let path = self.path("events.ndjson");
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("the folder takes files");
        self.append_to(&mut file, count);
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).expect("it can be renamed");
    }

    /// Compresses a file as gzip does: the original goes, and its time is kept.
    fn gzip(&self, name: &str) {
        let path = self.path(name);
        let text = std::fs::read(&path).expect("it is there");
        let modified = File::open(&path).and_then(|file| file.metadata()?.modified());
        let file = File::create(self.path(&format!("{name}.gz"))).expect("it can be made");
        let mut encoder = GzEncoder::new(file, Compression::fast());
        encoder.write_all(&text).expect("it is written");
        let file = encoder.finish().expect("it is written");
        file.set_modified(modified.expect("it has a time"))
            .expect("it takes a time");
        std::fs::remove_file(path).expect("it can be removed");
    }

    /// Copies the followed file, and truncates it.
    fn copy_and_truncate(&self, name: &str) {
        let live = self.path("events.ndjson");
        std::fs::copy(&live, self.path(name)).expect("it can be copied");
        File::options()
            .write(true)
            .open(live)
            .and_then(|file| file.set_len(0))
            .expect("it can be truncated");
    }

    /// Waits for all events, in order and each once.
    fn expect_all(&self) {
        let arrived = self.receiver.wait_for_requests(self.count);
        for (number, request) in arrived.iter().enumerate() {
            let body = Rotation::body(number);
            assert!(request.body == body.as_bytes(), "{number} is another");
        }
        assert_eq!(arrived.len(), self.count);
    }
}

fn gaps(process: &Process) -> String {
    let metrics = Admin::of(process).text("/metrics");
    let line = metrics
        .lines()
        .find(|line| line.starts_with("webhookd_follow_gaps_total"));
    line.expect("there is such a metric").to_owned()
}

/// Ends it, without an error.
fn end(process: Process) {
    assert_eq!(gaps(&process), "webhookd_follow_gaps_total 0");
    process.signal(Signal::TERM);
    let ended = process.wait().expect_code(0);
    assert!(!ended.stderr.contains("may be lost"), "{}", ended.stderr);
}

/// Runs webhookd on ten events, stops it, and runs it again after `rotate`.
fn check_stopped(rotate: impl FnOnce(&mut Rotation)) {
    let mut it = Rotation::new();
    it.append(10);
    let process = it.start();
    it.expect_all();
    end(process);
    it.append(5);
    rotate(&mut it);
    let process = it.start();
    it.expect_all();
    // It goes on with the file itself.
    it.append(3);
    it.expect_all();
    end(process);
}

#[test]
fn two_rotations_while_it_was_stopped() {
    check_stopped(|it| {
        it.rename("events.ndjson", "events.ndjson.1");
        it.append(7);
        it.rename("events.ndjson.1", "events.ndjson.2");
        it.rename("events.ndjson", "events.ndjson.1");
        it.append(4);
    });
}

#[test]
fn many_rotations_with_late_compression_while_it_was_stopped() {
    check_stopped(|it| {
        for _ in 0..12 {
            for number in (1..12).rev() {
                let name = |number| format!("events.ndjson.{number}.gz");
                if it.path(&name(number)).exists() {
                    it.rename(&name(number), &name(number + 1));
                }
            }
            if it.path("events.ndjson.1").exists() {
                it.rename("events.ndjson.1", "events.ndjson.2");
                it.gzip("events.ndjson.2");
            }
            it.rename("events.ndjson", "events.ndjson.1");
            it.append(2);
        }
    });
}

#[test]
fn rotated_by_date_and_compressed_while_it_was_stopped() {
    check_stopped(|it| {
        it.rename("events.ndjson", "events.ndjson-20261127");
        it.append(7);
        it.rename("events.ndjson", "events.ndjson-20261128");
        it.append(2);
        it.gzip("events.ndjson-20261128");
        it.gzip("events.ndjson-20261127");
    });
}

#[test]
fn copied_and_truncated_twice_while_it_was_stopped() {
    check_stopped(|it| {
        it.copy_and_truncate("events.ndjson.1");
        it.append(7);
        it.rename("events.ndjson.1", "events.ndjson.2");
        it.copy_and_truncate("events.ndjson.1");
        it.gzip("events.ndjson.2");
        it.append(40);
    });
}

#[test]
fn rotated_with_the_next_file_not_there_yet() {
    check_stopped(|it| {
        it.rename("events.ndjson", "events.ndjson.2");
        it.append(7);
        it.rename("events.ndjson", "events.ndjson.1");
    });
}

#[test]
fn a_file_that_was_empty_is_known_when_it_is_rotated() {
    let mut it = Rotation::new();
    it.append(0);
    let process = it.start();
    let queue = it.path("webhook-queue");
    let is_saved = || {
        let files = std::fs::read_dir(&queue).into_iter().flatten().flatten();
        files
            .filter_map(|file| file.file_name().into_string().ok())
            .any(|name| name.starts_with("follow-") && name.ends_with(".json"))
    };
    while !is_saved() {
        std::thread::yield_now();
    }
    end(process);
    it.append(4);
    it.rename("events.ndjson", "events.ndjson.1");
    it.append(3);
    it.gzip("events.ndjson.1");
    let process = it.start();
    it.expect_all();
    end(process);
}

/// Rotates while webhookd waits for room in a full queue.
fn check_full(rotate: impl FnOnce(&mut Rotation)) {
    let mut it = Rotation::with_reply(Reply::status(200).held());
    it.append(1_000);
    let process = it.start();
    let admin = Admin::of(&process);
    while admin.get("/api/v1/queue")["writer"]["blocked"] != true {
        std::thread::yield_now();
    }
    rotate(&mut it);
    it.receiver.release();
    it.expect_all();
    end(process);
}

#[test]
fn two_rotations_while_the_queue_is_full() {
    check_full(|it| {
        it.rename("events.ndjson", "events.ndjson.1");
        it.append(50);
        it.rename("events.ndjson.1", "events.ndjson.2");
        it.rename("events.ndjson", "events.ndjson.1");
        it.gzip("events.ndjson.2");
        it.append(50);
    });
}

#[test]
fn copied_and_truncated_while_the_queue_is_full() {
    check_full(|it| {
        it.copy_and_truncate("events.ndjson.1");
        // Longer than what was read of the file before.
        it.append(1_500);
    });
}

#[test]
fn a_kill_while_the_queue_is_full_and_two_rotations() {
    let mut it = Rotation::with_reply(Reply::status(503));
    it.append(1_000);
    let process = it.start();
    let admin = Admin::of(&process);
    while admin.get("/api/v1/queue")["writer"]["blocked"] != true {
        std::thread::yield_now();
    }
    process.signal(Signal::KILL);
    let _ended = process.wait();
    it.rename("events.ndjson", "events.ndjson-20261127");
    it.append(50);
    it.rename("events.ndjson", "events.ndjson-20261128");
    it.append(50);
    it.gzip("events.ndjson-20261127");
    let healthy = Rotation::new();
    let config = std::fs::read_to_string(&it.config).expect("it is there");
    let config = config.replace(&it.receiver.url(), &healthy.receiver.url());
    std::fs::write(&it.config, config).expect("it can be written");
    it.receiver = healthy.receiver;
    let process = it.start();
    it.expect_all();
    end(process);
}

#[test]
fn nothing_is_lost_by_kills_between_rotations() {
    let mut it = Rotation::new();
    let mut generation = 0;
    for round in 0..8 {
        it.append(60);
        let process = it.start();
        // Killed at another place in each round, and rotated while it runs and afterwards.
        it.receiver.wait_for_requests(it.count - 59 + 7 * round);
        for part in 0..2 {
            generation += 1;
            let name = format!("events.ndjson-{}", 20_261_100 + generation);
            if round % 3 == 2 {
                it.copy_and_truncate(&name);
            } else {
                it.rename("events.ndjson", &name);
            }
            it.append(20);
            if round % 2 == 1 {
                it.gzip(&name);
            }
            if part == 0 {
                process.signal(Signal::KILL);
                while !process.has_ended(testkit::DEADLINE) {}
            }
        }
    }
    let process = it.start();
    // What a kill let arrive twice has one id.
    let mut ids = std::collections::HashSet::new();
    let (mut next, mut seen) = (0, 0);
    while next < it.count {
        let arrived = it.receiver.wait_for_requests(seen + 1);
        for request in &arrived[seen..] {
            if ids.insert(request.header("webhook-id")) {
                assert!(request.body == Rotation::body(next).as_bytes(), "{next}");
                next += 1;
            }
        }
        seen = arrived.len();
    }
    end(process);
}

#[test]
fn lines_written_to_a_renamed_file_before_the_next_one_has_any() {
    let mut it = Rotation::new();
    it.append(3);
    let mut old = OpenOptions::new()
        .append(true)
        .open(it.path("events.ndjson"))
        .expect("it is there");
    let process = it.start();
    it.expect_all();
    // The new file is made at once; the program is told of it later.
    it.rename("events.ndjson", "events.ndjson.1");
    it.append(0);
    for _ in 0..5 {
        it.append_to(&mut old, 1);
        it.expect_all();
    }
    it.append(3);
    it.expect_all();
    end(process);
}

#[test]
fn a_link_that_leads_to_another_file() {
    let mut it = Rotation::new();
    let link = |it: &Rotation, name: &str| {
        std::os::unix::fs::symlink(name, it.path("new")).expect("it can be made");
        it.rename("new", "events.ndjson");
    };
    link(&it, "pod_0.log");
    it.append(3);
    let process = it.start();
    it.expect_all();
    end(process);
    it.append(3);
    it.rename("pod_0.log", "pod_0.log.20261129-101112");
    it.append(3);
    link(&it, "pod_1.log");
    it.gzip("pod_0.log.20261129-101112");
    it.append(3);
    let process = it.start();
    it.expect_all();
    end(process);
}

#[test]
fn a_rotated_file_that_is_gone_is_reported() {
    let mut it = Rotation::new();
    it.append(10);
    let process = it.start();
    it.expect_all();
    end(process);
    it.rename("events.ndjson", "events.ndjson.2");
    it.append(4);
    it.rename("events.ndjson", "events.ndjson.1");
    it.append(4);
    std::fs::remove_file(it.path("events.ndjson.2")).expect("it is there");
    let process = it.start();
    it.expect_all();
    process.wait_for_error("may be lost");
    assert_eq!(gaps(&process), "webhookd_follow_gaps_total 1");
    process.signal(Signal::TERM);
    let said = process.wait().stderr;
    for part in ["line 10 ", "events.ndjson.1"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn a_rotated_file_that_cannot_be_read_is_reported() {
    for damage in [
        (|path: &Path| {
            let bytes = std::fs::read(path).expect("it is there");
            std::fs::write(path, &bytes[..bytes.len() / 2]).expect("it can be written");
        }) as fn(&Path),
        |path| {
            let other = path.with_extension("zst");
            std::fs::rename(path, &other).expect("it can be renamed");
            std::fs::write(&other, "zstandard").expect("it can be written");
        },
    ] {
        let mut it = Rotation::new();
        it.append(10);
        let process = it.start();
        it.expect_all();
        end(process);
        it.rename("events.ndjson", "events.ndjson.2");
        let whole = it.count;
        it.append(4);
        it.rename("events.ndjson", "events.ndjson.1");
        it.gzip("events.ndjson.1");
        damage(&it.path("events.ndjson.1.gz"));
        it.append(1);
        let process = it.start();
        process.wait_for_error("may be lost");
        it.receiver.wait_for_requests(whole + 1);
        let last = Rotation::body(it.count - 1);
        while it.receiver.bodies().last() != Some(&last.clone().into_bytes()) {
            std::thread::yield_now();
        }
        assert_eq!(gaps(&process), "webhookd_follow_gaps_total 1");
        process.signal(Signal::TERM);
        let _ended = process.wait();
    }
}
