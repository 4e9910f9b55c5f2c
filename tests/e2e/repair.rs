//! What is damaged is told: which records, whose, and what to do.

use crate::durable::reliable;
use serde_json::{Value, json};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use testkit::{Ended, Folder, Launch, Port, Receiver, Reply, event};

/// A queue that owes a target three events, of more than a page each.
fn owing(folder: &Folder) -> PathBuf {
    let port = Port::take();
    let mut config = reliable(&port.url());
    config["queue"] = json!({ "dir": "queue" });
    let config = folder.config(&config);
    let events: Vec<String> = (0..3)
        .map(|number| {
            let event = event(&format!("task-{number}"), number);
            let open = event.strip_suffix('}').expect("it is an object");
            format!("{open},\"pad\":\"{}\"}}", "x".repeat(5_000))
        })
        .collect();
    let _ended = Launch::with_config(&config)
        .args(["--grace", "500ms"])
        .run(events.join("\n"))
        .expect_code(3);
    folder.path().join("queue")
}

fn queue(command: &str, dir: &Path) -> Launch {
    Launch::new().args(["queue", command, "--queue"]).arg(dir)
}

/// Writes over each place where this is found, at an offset from it.
fn overwrite(file: &Path, found: &[u8], offset: i64, with: &[u8]) {
    let data = std::fs::read(file).expect("it is there");
    let places = data
        .windows(found.len())
        .enumerate()
        .filter(|(_, window)| *window == found);
    let file = std::fs::File::options()
        .write(true)
        .open(file)
        .expect("it can be written");
    let mut count = 0;
    for (at, _) in places {
        let at = (at as u64).checked_add_signed(offset).expect("it is in it");
        file.write_all_at(with, at).expect("it can be written");
        count += 1;
    }
    assert!(count > 0, "it was not found");
}

fn told(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

#[test]
fn a_damaged_record_is_listed_with_its_target_and_the_reason() {
    let folder = Folder::new();
    let dir = owing(&folder);
    overwrite(&dir.join("data.mdb"), b"\"taskId\":\"task-1\"", 3, b"X");
    let ended = queue("verify", &dir).run("").expect_code(1);
    assert!(told(&ended).contains("entry 2: its event does not match its checksum"));

    let receiver = Receiver::always(Reply::status(200));
    let mut config = reliable(&receiver.url());
    config["queue"] = json!({ "dir": "queue" });
    let config = folder.config(&config);
    let ended = Launch::with_config(&config).args(["--grace", "2s"]).run("");
    assert_eq!(ended.summary().count("/damaged"), 1);
    assert_eq!(receiver.requests().len(), 2);

    let text = told(&queue("stats", &dir).run("").expect_code(0));
    let line = text
        .lines()
        .find(|line| line.starts_with("entry 2 is quarantined"))
        .unwrap_or_else(|| panic!("it is not named: {text}"));
    assert!(line.contains("does not match its checksum"), "{line}");
    assert!(line.contains("it was for default"), "{line}");
    let json = queue("stats", &dir).args(["--format", "json"]).run("");
    let json: Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    let record = &json["quarantined"][0];
    assert_eq!(record["entry"], 2);
    assert_eq!(record["targets"], json!(["default"]));
    assert!(record["bytes"].as_u64() > Some(5_000));
    let text = told(&queue("verify", &dir).run("").expect_code(0));
    assert!(text.contains("entry 2 is quarantined"), "{text}");
    assert!(text.contains("all is whole"), "{text}");
}

#[test]
fn damaged_pages_are_an_error_that_says_so() {
    let folder = Folder::new();
    let dir = owing(&folder);
    let whole = queue("verify", &dir).run("").expect_code(0);
    assert!(told(&whole).contains("3 events read"), "{}", told(&whole));
    // LMDB's entry for the second event: flags (the record lies on pages of its own), length of the
    // key, key; before them the record's length, which now leads out of the file.
    let mut node = vec![1, 0, 8, 0];
    node.extend_from_slice(&2_u64.to_be_bytes());
    let data = dir.join("data.mdb");
    overwrite(&data, &node, -4, &0x3fff_ffff_u32.to_le_bytes());
    let ended = queue("verify", &dir).run("").expect_code(2);
    assert!(
        ended
            .stderr
            .contains("are damaged: reading them ended in SIG"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("move the directory away"));
}

#[test]
fn a_mark_that_lost_a_bit_is_told_as_damage_and_not_as_no_queue() {
    let folder = Folder::new();
    let dir = owing(&folder);
    overwrite(&dir.join("FORMAT"), b"webhook-queue", 2, b"\x82");
    for command in ["stats", "verify", "compact"] {
        let ended = queue(command, &dir).run("").expect_code(2);
        assert!(
            ended.stderr.contains("the file FORMAT does not begin with"),
            "{command}: {}",
            ended.stderr
        );
    }
}
