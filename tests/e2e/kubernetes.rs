//! Lists and watches of Kubernetes, against a server that follows a script written after its
//! documentation.

use crate::streams::{config, delivered, end, launch, wait_for_stream};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::{
    Admin, DEADLINE, EventStream, Folder, Process, Receiver, Reply, StreamRequest, chunked,
};

fn source(server: &EventStream) -> Value {
    json!({
        "input": "in",
        "kubernetes": {
            "server": server.url(),
            "resources": ["pods"],
            "pageSize": 2,
            "retry": { "initialMsec": 1, "maxMsec": 10 },
        },
    })
}

fn pod(uid: &str, version: usize, phase: &str) -> Value {
    json!({
        "metadata": { "uid": uid, "name": uid, "namespace": "n", "resourceVersion": version.to_string() },
        "status": { "phase": phase },
    })
}

fn list(version: usize, next: &str, pods: &[Value]) -> String {
    let metadata = json!({ "resourceVersion": version.to_string(), "continue": next });
    json!({ "kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": pods })
        .to_string()
}

fn frame(kind: &str, object: &Value) -> String {
    json!({ "type": kind, "object": object }).to_string()
}

/// The version that a watch begins at; `None` for a list.
fn watched(request: &StreamRequest<'_>) -> Option<usize> {
    assert_eq!(request.path(), "/api/v1/pods");
    request.parameter("watch")?;
    assert_eq!(request.parameter("allowWatchBookmarks"), Some("true"));
    assert!(request.parameter("timeoutSeconds").is_some());
    request.parameter("resourceVersion")?.parse().ok()
}

/// Waits until these frames, and no others, were delivered, in this order for each pod.
#[track_caller]
fn expect(receiver: &Receiver, process: &Process, expected: &[&str]) {
    let until = Instant::now() + DEADLINE;
    loop {
        let mut found = delivered(receiver, |frame| {
            let metadata = &frame["object"]["metadata"];
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let (uid, version) = (text(&metadata["uid"]), text(&metadata["resourceVersion"]));
            format!(
                "{uid} {version} {} {}",
                text(&frame["type"]),
                text(&frame["object"]["kind"])
            )
        });
        // Pods do not wait for each other.
        found.sort_by(|one, other| one.split(' ').next().cmp(&other.split(' ').next()));
        if found == expected {
            return;
        }
        assert!(
            found.len() <= expected.len() && Instant::now() < until,
            "{found:#?}\n{}",
            process.error_so_far()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_list_in_pages_is_watched_and_listed_again_when_its_version_is_too_old() {
    for by_status in [false, true] {
        let receiver = Receiver::always(Reply::status(200));
        let folder = Folder::new();
        let lists = AtomicUsize::new(0);
        let server = EventStream::start(move |request| match watched(request) {
            None if request.parameter("continue") == Some("c1") => {
                match lists.fetch_add(1, Ordering::SeqCst) {
                    // The token has expired: the list begins anew.
                    0 => request.respond(410, "", ""),
                    _ => request.respond(200, "", &list(10, "", &[pod("c", 3, "Pending")])),
                }
            }
            None if lists.load(Ordering::SeqCst) < 2 => {
                assert_eq!(request.parameter("limit"), Some("2"));
                let pods = [pod("a", 1, "Pending"), pod("b", 2, "Pending")];
                request.respond(200, "", &list(10, "c1", &pods));
            }
            None => {
                // `a` has changed, `b` is gone, `c` is as before.
                let pods = [pod("a", 20, "Succeeded"), pod("c", 3, "Pending")];
                request.respond(200, "", &list(30, "", &pods));
            }
            Some(10) => {
                request.begin();
                request.line(&frame("MODIFIED", &pod("a", 11, "Running")));
                // The same state again, which is no event.
                request.line(&frame("MODIFIED", &pod("a", 12, "Running")));
                let bookmark = json!({ "kind": "Pod", "metadata": { "resourceVersion": "15" } });
                request.line(&frame("BOOKMARK", &bookmark));
                request.send("0\r\n\r\n");
            }
            Some(15) if by_status => request.respond(410, "", ""),
            Some(15) => {
                request.begin();
                let status = json!({ "kind": "Status", "code": 410, "reason": "Expired" });
                request.line(&frame("ERROR", &status));
            }
            Some(30) => {
                request.begin();
                request.line(&frame("DELETED", &pod("c", 31, "Pending")));
                request.hold();
            }
            Some(other) => panic!("nothing was at {other}"),
        });
        let config = config(&folder, &receiver, "kubernetes", &source(&server));
        let process = launch(&config);
        expect(
            &receiver,
            &process,
            &[
                "a 1 ADDED Pod",
                "a 11 MODIFIED -",
                "a 20 ADDED Pod",
                "b 2 ADDED Pod",
                "b 2 DELETED Pod",
                "c 3 ADDED Pod",
                "c 31 DELETED -",
            ],
        );
        let stream = wait_for_stream(&Admin::of(&process), |it| it["cursor"] == "31");
        assert_eq!(
            (&stream["name"], &stream["gaps"]),
            (&json!("in/pods"), &json!(1))
        );
        process.wait_for_error("after resourceVersion 15 (410)");
        end(process);
    }
}

#[test]
fn a_watch_cut_at_every_byte_delivers_each_change_once_and_in_order() {
    const LAST: usize = 13;
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let server = EventStream::start(|request| {
        let Some(version) = watched(request) else {
            return request.respond(200, "", &list(10, "", &[pod("a", 10, "Pending")]));
        };
        let next = version + 1;
        let phase = ["Pending", "Running"][next % 2];
        let text = match next <= LAST {
            true => format!("{}\n", frame("MODIFIED", &pod("a", next, phase))),
            false => String::new(),
        };
        let fresh = chunked(&text, 1 + request.number % 29);
        request.begin();
        request.send(&fresh[..request.number % (fresh.len() + 1)]);
    });
    let config = config(&folder, &receiver, "kubernetes", &source(&server));
    let process = launch(&config);
    let expected = [
        "a 10 ADDED Pod",
        "a 11 MODIFIED -",
        "a 12 MODIFIED -",
        "a 13 MODIFIED -",
    ];
    expect(&receiver, &process, &expected);
    let stream = wait_for_stream(&Admin::of(&process), |it| it["cursor"] == "13");
    assert_eq!(stream["gaps"], 0);
    end(process);
    // A restart watches on, without a list.
    let before = server.requests().len();
    let process = launch(&config);
    let requests = server.wait_for_requests(before + 1);
    assert!(
        requests[before].contains("resourceVersion=13 "),
        "{}",
        requests[before]
    );
    end(process);
    expect_requests(&receiver, expected.len());
}

fn expect_requests(receiver: &Receiver, count: usize) {
    assert_eq!(receiver.requests().len(), count);
}

#[test]
fn a_token_is_read_again_for_each_connection() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let valid = Arc::new(Mutex::new("one".to_owned()));
    let rotated = Arc::new(AtomicBool::new(false));
    let server = EventStream::start({
        let (valid, rotated) = (Arc::clone(&valid), Arc::clone(&rotated));
        move |request| {
            let bearer = format!("Bearer {}", valid.lock().expect("no holder panics"));
            if request.header("authorization") != Some(&*bearer) {
                return request.respond(401, "", "");
            }
            match watched(request) {
                None => request.respond(200, "", &list(10, "", &[])),
                Some(10) => {
                    request.begin();
                    while !rotated.load(Ordering::SeqCst) && request.line("") {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                Some(_) => request.hold(),
            }
        }
    });
    let token = folder.write("token", "one\n");
    let mut source = source(&server);
    source["kubernetes"]["tokenFile"] = json!("token");
    let config = config(&folder, &receiver, "kubernetes", &source);
    let process = launch(&config);
    let admin = Admin::of(&process);
    wait_for_stream(&admin, |it| it["connected"] == true);
    *valid.lock().expect("no holder panics") = "two".to_owned();
    rotated.store(true, Ordering::SeqCst);
    // The old one is refused until the file is written.
    wait_for_stream(&admin, |it| {
        it["error"].as_str().is_some_and(|it| it.contains("401"))
    });
    std::fs::write(&token, "two\n").expect("the folder takes files");
    wait_for_stream(&admin, |it| it["connections"].as_u64() > Some(1));
    assert!(!process.error_so_far().contains("Bearer"));
    end(process);
}

#[test]
fn a_deletion_that_the_queue_has_no_room_for_is_found_again() {
    const PODS: usize = 40;
    let open = Arc::new(AtomicBool::new(true));
    let receiver = Receiver::start({
        let open = Arc::clone(&open);
        move |_| {
            Reply::status(if open.load(Ordering::SeqCst) {
                200
            } else {
                503
            })
        }
    });
    let folder = Folder::new();
    let expired = Arc::new(AtomicBool::new(false));
    let server = EventStream::start({
        let expired = Arc::clone(&expired);
        move |request| match watched(request) {
            // It is asked for again if the queue has no room for all pods at once.
            None if !expired.load(Ordering::SeqCst) => {
                let pods: Vec<Value> = (0..PODS)
                    .map(|number| {
                        let mut pod = pod(&format!("p{number}"), 1, "Pending");
                        pod["metadata"]["labels"] = json!({ "padding": "x".repeat(40 << 10) });
                        pod
                    })
                    .collect();
                request.respond(200, "", &list(10, "", &pods));
            }
            None => request.respond(200, "", &list(20, "", &[])),
            Some(10) => {
                request.begin();
                while !expired.load(Ordering::SeqCst) && request.line("") {
                    std::thread::sleep(Duration::from_millis(5));
                }
                let status = json!({ "kind": "Status", "code": 410, "reason": "Expired" });
                request.line(&frame("ERROR", &status));
            }
            Some(_) => {
                request.begin();
                request.hold();
            }
        }
    });
    let config = config(&folder, &receiver, "kubernetes", &source(&server));
    let process = launch(&config);
    let admin = Admin::of(&process);
    wait_for_stream(&admin, |it| it["cursor"] == "10");
    open.store(false, Ordering::SeqCst);
    let before = server.requests().len();
    expired.store(true, Ordering::SeqCst);
    // A list, and one more since the queue has refused a deletion.
    server.wait_for_requests(before + 2);
    open.store(true, Ordering::SeqCst);
    wait_for_stream(&admin, |it| it["cursor"] == "20");
    let until = Instant::now() + DEADLINE;
    let deleted = || {
        let types = delivered(&receiver, |frame| frame["type"].clone());
        types.iter().filter(|it| **it == "DELETED").count()
    };
    while deleted() < PODS {
        assert!(Instant::now() < until, "{}", process.error_so_far());
        std::thread::sleep(Duration::from_millis(20));
    }
    end(process);
}
