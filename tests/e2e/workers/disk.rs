//! The disk of the database is full.

use super::{Cluster, JSON, Worker};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::{Folder, Postgres, Receiver, Reply, post};

/// A small file system in memory, which only root can make. Dropping it removes it.
struct SmallDisk {
    path: PathBuf,
    _folder: Folder,
}

impl SmallDisk {
    /// `None`, and a line on standard error, where it cannot be made.
    fn mount(megabytes: u32) -> Option<SmallDisk> {
        let folder = Folder::new();
        let path = folder.path().join("disk");
        std::fs::create_dir(&path).expect("the folder takes one");
        let size = format!("size={megabytes}m");
        let made = mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], &path);
        if !made {
            let skipped = writeln!(
                std::io::stderr(),
                "SKIPPED: no file system can be mounted here, so no disk can be full"
            );
            drop(skipped);
            return None;
        }
        Some(SmallDisk {
            path,
            _folder: folder,
        })
    }

    fn resize(&self, megabytes: u32) {
        let size = format!("remount,size={megabytes}m");
        assert!(mount(&["-o", &size], &self.path), "it can be resized");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.path).status());
    }
}

fn mount(args: &[&str], path: &Path) -> bool {
    let status = Command::new("mount").args(args).arg(path).status();
    status.is_ok_and(|it| it.success())
}

/// An event that is not compressed to less than its size.
fn incompressible(task: &str, number: usize) -> String {
    let mut state = number as u64 * 7_919 + 1;
    let noise = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'a' + ((state >> 40) % 26) as u8)
    });
    let noise: String = noise.take(50_000).collect();
    let event = testkit::event(task, number);
    format!(
        "{},\"noise\":\"{noise}\"}}",
        event.strip_suffix('}').expect("it is an object")
    )
}

#[test]
fn a_full_disk_refuses_new_events_and_all_that_was_accepted_arrives() {
    let Some(disk) = SmallDisk::mount(40) else {
        return;
    };
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    postgres.own(&disk.path);
    postgres.query(&format!(
        "CREATE TABLESPACE small LOCATION '{}'",
        disk.path.display()
    ));
    postgres.query("ALTER ROLE webhook SET default_tablespace = 'small'");
    postgres.query("GRANT CREATE ON TABLESPACE small TO webhook");
    let mut cluster = Cluster {
        postgres,
        folder: Folder::new(),
        workers: 0,
    };
    let refuses = Arc::new(AtomicBool::new(true));
    let receiver = {
        let refuses = Arc::clone(&refuses);
        Receiver::start(move |_| match refuses.load(Ordering::SeqCst) {
            true => Reply::status(503),
            false => Reply::status(200),
        })
    };
    cluster.configure(&receiver.url(), Duration::from_secs(60));
    let worker = cluster.worker();
    let (mut accepted, mut refused) = (0, 0);
    let send = |number: usize| {
        let task = format!("task-{number}");
        post(&worker.url, &[JSON], incompressible(&task, number))
    };
    while refused < 3 {
        let answer = send(accepted + refused);
        match answer.status {
            200 => accepted += 1,
            503 => refused += 1,
            _ => panic!("{answer:?}"),
        }
        assert!(accepted < 2_000, "the disk is not full");
    }
    assert!(accepted > 100, "{accepted} events");
    worker.wait_until("it is not ready", |it| {
        it.readyz() == (503, vec!["queue-failing".to_owned()])
    });
    assert_eq!(worker.metric("webhookd_queue_failing"), 1.0);
    assert_eq!(worker.admin.text("/livez"), "ok\n");
    disk.resize(400);
    worker.wait_until("it is ready again", Worker::is_ready);
    send(10_000).expect_status(200);
    refuses.store(false, Ordering::SeqCst);
    worker.admin.post("/api/v1/targets/audit/restart", "");
    let delivered = json!(accepted + 1);
    worker.wait_until("all is delivered", |it| {
        it.admin.get("/api/v1/targets/audit")["stats"]["delivered"] == delivered
    });
    let log = worker.stop();
    assert!(log.contains("commits to the queue fail"), "{log}");
    assert!(log.contains("no room on the disk"), "{log}");
    drop(cluster);
}
