//! Events over HTTP: what is answered, and that an answer 2xx is kept.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::{
    Client, Ended, Folder, Launch, Process, Receiver, Reply, Signal, event, events, has_curl, post,
    post_bytes, task_of, transcripts,
};

const JSON: &str = "Content-Type: application/json";
const LINES: &str = "Content-Type: application/x-ndjson";

/// A reliable target, tried again soon.
fn target(name: &str, url: &str) -> Value {
    json!({
        "name": name,
        "headers": {},
        "targetURL": url,
        "timeoutMsec": 30_000,
        "responseTimeoutMsec": 30_000,
        "retry": { "initialMsec": 10, "maxMsec": 100 },
    })
}

fn listening(folder: &Folder, targets: &[Value]) -> Launch {
    let config = folder.config(&json!({ "targets": targets, "maxEventBytes": 4096 }));
    Launch::with_config(&config).args(["--listen", "127.0.0.1:0"])
}

/// Ends it in order, and returns what it said.
fn end(process: Process) -> Ended {
    process.signal(Signal::TERM);
    process.wait()
}

#[test]
fn an_event_is_answered_with_its_id_and_arrives_under_it() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &[target("one", &receiver.url())]).spawn();
    let url = process.listens();
    let answer = post(&url, &[JSON], event("one", 1));
    assert_eq!(answer.status, 200, "{answer:?}");
    let arrived = &receiver.wait_for_requests(1)[0];
    assert_eq!(arrived.body, event("one", 1).as_bytes());
    let id = arrived.header("webhook-id");
    assert_eq!(
        answer.json(),
        json!({ "id": id, "targets": 1, "reliable": 1 })
    );
    assert_eq!(answer.header("webhook-id"), Some(&*id));
    let ended = end(process).expect_code(0);
    assert_eq!(ended.summary().count("/events"), 1);
    assert_eq!(ended.summary().count("/delivered"), 1);
}

#[test]
fn a_body_is_delivered_byte_for_byte_in_whatever_pieces_it_comes() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &[target("one", &receiver.url())]).spawn();
    let mut client = Client::connect(&process.listens()).expect("it listens");
    let body = format!(" {}\r\n", event("one", 1).replace(':', " :\n "));
    let (first, second) = body.split_at(20);
    let chunked = "POST /events HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
                   Transfer-Encoding: chunked\r\n\r\n";
    client.send(chunked).expect("it reads");
    for chunk in [first, second, ""] {
        let chunk = format!("{:x}\r\n{chunk}\r\n", chunk.len());
        client.send(chunk).expect("it reads");
    }
    assert_eq!(client.answer().expect("it answers").status, 200);
    assert_eq!(receiver.wait_for_requests(1)[0].body, body.as_bytes());
    let _ended = end(process).expect_code(0);
}

#[test]
fn each_line_is_answered_and_the_good_ones_arrive_in_order() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &[target("one", &receiver.url())]).spawn();
    let url = process.listens();
    let lines = [
        event("one", 1).into_bytes(),
        b" \r".to_vec(),
        b"garbage".to_vec(),
        event("one", 4).into_bytes(),
        b"{\"task\":{\"status\":\"\xff\"}}".to_vec(),
        vec![b'x'; 5000],
        b"{\"job\":1}".to_vec(),
        event("one", 8).into_bytes(),
    ];
    let answer = post(&url, &[LINES], lines.join(&b'\n'));
    assert_eq!(answer.status, 207, "{answer:?}");
    let told = answer.json();
    assert_eq!(
        (&told["accepted"], &told["refused"]),
        (&json!(3), &json!(4))
    );
    let each: Vec<_> = told["lines"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| (line["line"].as_u64(), line["status"].as_u64()))
        .collect();
    let expected = [
        (1, None),
        (3, Some(400)),
        (4, None),
        (5, Some(400)),
        (6, Some(413)),
        (7, Some(422)),
        (8, None),
    ];
    assert_eq!(each, expected.map(|(line, status)| (Some(line), status)));
    let arrived = receiver.wait_for_requests(3);
    for (arrived, number) in arrived.iter().zip([1, 4, 8]) {
        assert_eq!(arrived.body, event("one", number).as_bytes());
        let id = arrived.header("webhook-id");
        let told = told["lines"].as_array().expect("a list").iter();
        assert!(told.clone().any(|line| line["id"] == *id), "{id}");
    }
    // Bad lines were told to their sender, and are no failure of ours.
    let _ended = end(process).expect_code(0);
}

#[test]
fn a_whole_stream_arrives_in_each_tasks_order() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = json!({ "targets": [target("one", &receiver.url())] });
    config["maxEventBytes"] = json!(1 << 20);
    let config = folder.config(&config);
    let process = Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0"])
        .spawn();
    let events = events();
    let answer = post(&process.listens(), &[LINES], events.join(&b'\n'));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["accepted"], json!(events.len()));
    receiver.wait_for_requests(events.len());
    let by_task = crate::deliver::by_task;
    assert_eq!(by_task(&receiver.bodies()), by_task(&events));
    let _ended = end(process).expect_code(0);
}

#[test]
fn pipelined_requests_are_answered_and_delivered_in_order() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &[target("one", &receiver.url())]).spawn();
    let mut client = Client::connect(&process.listens()).expect("it listens");
    let mut requests = Vec::new();
    for number in 0..50 {
        requests.extend(post_bytes(&[JSON], event("one", number)));
    }
    client.send(requests).expect("it reads");
    let ids: Vec<_> = (0..50)
        .map(|_| client.answer().expect("it answers").json()["id"].clone())
        .collect();
    let arrived = receiver.wait_for_requests(50);
    for (number, request) in arrived.iter().enumerate() {
        assert_eq!(request.body, event("one", number).as_bytes());
        assert_eq!(ids[number], request.header("webhook-id"));
    }
    let _ended = end(process).expect_code(0);
}

#[test]
fn what_is_given_twice_is_stored_once_also_over_a_kill() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let launch = || listening(&folder, &[target("one", &receiver.url())]);
    let keys: [&[&str]; 3] = [
        &[JSON, "Idempotency-Key: order-17"],
        &[JSON, "webhook-id: msg_1"],
        &[LINES, "Idempotency-Key: batch-1"],
    ];
    let mut first = Vec::new();
    for round in 0..2 {
        let process = launch().spawn();
        let url = process.listens();
        for (index, headers) in keys.iter().enumerate() {
            let told = post(&url, headers, event("one", index)).json();
            let told = told.pointer("/lines/0").unwrap_or(&told).clone();
            assert_eq!(told["duplicate"].as_bool(), (round == 1).then_some(true));
            if round == 0 {
                first.push(told["id"].clone());
            } else {
                assert_eq!(told["id"], first[index]);
            }
        }
        if round == 0 {
            process.signal(Signal::KILL);
            let _ended = process.wait();
        } else {
            receiver.wait_for_requests(3);
            let _ended = end(process).expect_code(0);
        }
    }
    let ids: BTreeSet<_> = receiver
        .requests()
        .iter()
        .map(|request| request.header("webhook-id"))
        .collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
}

#[test]
fn a_key_that_is_used_again_with_another_body_is_refused_also_over_a_kill() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut best_effort = target("two", &receiver.url());
    best_effort["delivery"] = json!("best-effort");
    for targets in [[target("one", &receiver.url())], [best_effort]] {
        let process = listening(&folder, &targets).spawn();
        let url = process.listens();
        for header in ["Idempotency-Key: order-17", "webhook-id: msg_1"] {
            let first = post(&url, &[JSON, header], event("one", 1));
            let first = first.expect_status(200).json()["id"].clone();
            let other = post(&url, &[JSON, header], event("one", 2)).expect_status(422);
            let error = other.json()["error"].to_string();
            assert!(
                error.contains(first.as_str().expect("it is a text")),
                "{error}"
            );
            assert_eq!(other.json()["retry"], false);
            let again = post(&url, &[JSON, header], event("one", 1)).expect_status(200);
            assert_eq!(again.json()["duplicate"], true);
        }
        let _ended = end(process).expect_code(0);
    }
    let launch = || listening(&folder, &[target("one", &receiver.url())]).spawn();
    let batch = "Idempotency-Key: batch-1";
    let two = |second| format!("{}\n{}\n", event("one", 3), event("one", second));
    let process = launch();
    let headers = [LINES, batch];
    post(&process.listens(), &headers, two(4)).expect_status(200);
    process.signal(Signal::KILL);
    let _ended = process.wait();
    let process = launch();
    let answer = post(&process.listens(), &headers, two(5)).expect_status(207);
    let lines = &answer.json()["lines"];
    assert_eq!(lines[0]["duplicate"], true, "{lines}");
    assert_eq!(lines[1]["status"], 422, "{lines}");
    let ended = end(process).expect_code(0);
    assert!(
        ended.stderr.contains("line 2: its idempotency key"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_signed_request_is_accepted_once_whatever_else_is_said_of_it() {
    let signed = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let secrets = folder.write("secrets", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n");
    let mut signing = target("relay", &signed.url());
    signing["signing"] = json!({ "secrets": [{ "file": secrets }] });
    let upstream = Folder::new();
    let _ended = Launch::with_config(&upstream.config(&signing))
        .run(event("one", 1))
        .expect_code(0);
    let original = &signed.wait_for_requests(1)[0];
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let proof = names.map(|name| format!("{name}: {}", original.header(name)));

    let receiver = Receiver::always(Reply::status(200));
    let process = listening(&folder, &[target("one", &receiver.url())])
        .arg("--listen-secret-file")
        .arg(&secrets)
        .spawn();
    let url = process.listens();
    for (round, headers) in [
        &[JSON][..],
        &[JSON],
        &[JSON, "Idempotency-Key: another"],
        &[JSON, "ce-id: another", "ce-specversion: 1.0"],
        &[LINES],
        &[LINES, "Idempotency-Key: another"],
        &["Content-Type: text/plain"],
    ]
    .iter()
    .enumerate()
    {
        let mut headers = headers.to_vec();
        headers.extend(proof.iter().map(String::as_str));
        let answer = post(&url, &headers, &original.body)
            .expect_status(200)
            .json();
        let told = answer.pointer("/lines/0").unwrap_or(&answer);
        let duplicate = told["duplicate"].as_bool().unwrap_or(false);
        assert_eq!(duplicate, round > 0, "{headers:?}: {answer}");
    }
    let ended = end(process).expect_code(0);
    assert_eq!(ended.summary().count("/delivered"), 1);
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn requests_without_the_token_and_a_signature_are_refused() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let tokens = folder.write("tokens", "sesame-1\nsesame-2\n");
    let secrets = folder.write("secrets", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n");
    let config = [target("one", &receiver.url())];
    let process = listening(&folder, &config)
        .arg("--listen-token-file")
        .arg(&tokens)
        .spawn();
    let url = process.listens();
    for (headers, status) in [
        (&[JSON][..], 401),
        (&[JSON, "Authorization: Bearer sesame"], 401),
        (&[JSON, "Authorization: Bearer sesame-2"], 200),
    ] {
        let answer = post(&url, headers, event("one", 1));
        assert_eq!(answer.status, status, "{headers:?}");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge.is_some(), status == 401);
    }
    let ended = end(process).expect_code(0);
    assert!(!ended.stderr.contains("sesame"), "{}", ended.stderr);

    // What webhookd signs, webhookd takes: a relay between two of them.
    let process = listening(&folder, &config)
        .arg("--listen-secret-file")
        .arg(&secrets)
        .spawn();
    let url = process.listens();
    assert_eq!(post(&url, &[JSON], event("one", 2)).status, 401);
    let upstream = Folder::new();
    let mut signing = target("relay", &url);
    signing["signing"] = json!({ "secrets": [{ "file": secrets }] });
    let config = upstream.config(&signing);
    let _ended = Launch::with_config(&config)
        .run(event("one", 3))
        .expect_code(0);
    let arrived = receiver.wait_for_requests(2);
    assert_eq!(arrived[1].body, event("one", 3).as_bytes());
    let _ended = end(process).expect_code(0);
}

#[test]
fn auroras_client_posts_a_thousand_transitions_to_three_targets_over_a_kill() {
    let receivers = [(); 3].map(|()| Receiver::always(Reply::status(200)));
    let folder = Folder::new();
    let mut targets: Vec<_> = ["all", "lost", "role"]
        .iter()
        .zip(&receivers)
        .map(|(name, receiver)| target(name, &receiver.url()))
        .collect();
    targets[1]["statuses"] = json!(["LOST", "FAILED"]);
    targets[2]["jobs"] = json!(["r/e/n"]);
    let launch = || listening(&folder, &targets);
    let transition = |number: usize| {
        let status = ["RUNNING", "LOST", "FAILED", "FINISHED"][number % 4];
        let role = ["\"r\"", "\"other\""][number / 4 % 2];
        event(&format!("task-{}", number % 50), number)
            .replace("RUNNING", status)
            .replace("\"r\"", role)
    };
    let mut process = launch().spawn();
    let mut url = process.listens();
    let mut kills = vec![400, 700];
    let mut number = 0;
    while number < 1000 {
        // As AsyncHttpClient does: a connection each, and the answer's body is not read.
        let sent = Client::connect(&url).and_then(|mut client| {
            let kind = "Content-Type: application/vnd.kafka.json.v1+json";
            let headers = [kind, "Timestamp: 1649367553000", "Connection: close"];
            client.send(post_bytes(&headers, transition(number)))?;
            client.status()
        });
        match sent {
            Ok(200) => number += 1,
            Ok(status) => panic!("{status}"),
            // Aurora would lose it; a second one with the same body is all that we can ask for.
            Err(_) => {
                let _ended = process.wait();
                process = launch().spawn();
                url = process.listens();
            }
        }
        if kills.first() == Some(&number) {
            kills.remove(0);
            process.signal(Signal::KILL);
        }
    }
    let wanted = |filter: &dyn Fn(&str) -> bool| -> BTreeSet<String> {
        (0..1000)
            .map(transition)
            .filter(|text| filter(text))
            .collect()
    };
    let expected = [
        wanted(&|_| true),
        wanted(&|text| text.contains("LOST") || text.contains("\"FAILED\"")),
        wanted(&|text| text.contains("\"role\":\"r\"")),
    ];
    let _ended = end(process).expect_code(0);
    for (receiver, expected) in receivers.iter().zip(expected) {
        let arrived: BTreeSet<_> = receiver
            .bodies()
            .into_iter()
            .map(|body| String::from_utf8(body).expect("UTF-8"))
            .collect();
        assert!(
            arrived == expected,
            "{} of {}",
            arrived.len(),
            expected.len()
        );
    }
}

#[test]
fn a_chain_of_two_keeps_ids_and_order_over_a_kill_of_the_second() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    // A port that stays the same over the kill.
    let port = testkit::free_port();
    let relay = folder.config(&target("end", &receiver.url()));
    let address = format!("127.0.0.1:{port}");
    let launch = || Launch::with_config(&relay).args(["--listen", &address]);
    let upstream = Folder::new();
    let config = upstream.config(&target("relay", &format!("http://{address}/")));
    let acks = upstream.path().join("acks");
    let mut second = launch().spawn();
    second.listens();
    let mut first = Launch::with_config(&config)
        .arg("--acks")
        .arg(&acks)
        .spawn();
    let events: Vec<_> = (0..600)
        .map(|number| event(&format!("task-{}", number % 7), number))
        .collect();
    for (number, event) in events.iter().enumerate() {
        first.write(format!("{event}\n"));
        if number % 250 == 200 {
            receiver.wait_for_requests(number / 2);
            second.signal(Signal::KILL);
            let _ended = second.wait();
            second = launch().spawn();
            second.listens();
        }
    }
    first.close_input();
    let _ended = first.wait().expect_code(0);
    let _ended = end(second).expect_code(0);
    let acks = std::fs::read_to_string(acks).expect("acknowledged");
    let ids: Vec<String> = acks
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["id"].to_string())
        .collect();
    // What was delivered twice came under one id, and right behind itself.
    let mut seen = BTreeSet::new();
    let mut order: std::collections::BTreeMap<String, Vec<Vec<u8>>> = Default::default();
    for request in receiver.requests() {
        let id = format!("\"{}\"", request.header("webhook-id"));
        let number = ids
            .iter()
            .position(|known| *known == id)
            .expect("a known id");
        assert_eq!(request.body, events[number].as_bytes());
        if seen.insert(id) {
            order
                .entry(task_of(&request.body))
                .or_default()
                .push(request.body);
        }
    }
    let events: Vec<_> = events.into_iter().map(String::into_bytes).collect();
    assert_eq!(seen.len(), 600);
    let expected = crate::deliver::by_task(&events);
    assert!(
        order
            .values()
            .all(|bodies| expected.values().any(|events| events == bodies))
    );
}

#[test]
fn a_signal_lets_the_request_under_way_be_answered_and_delivered() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &[target("one", &receiver.url())]).spawn();
    let url = process.listens();
    let mut client = Client::connect(&url).expect("it listens");
    let request = post_bytes(&[JSON, "Expect: 100-continue"], event("one", 1));
    let (begin, rest) = request.split_at(request.len() - 5);
    client.send(begin).expect("it reads");
    // It has the head once it asks for the body.
    assert_eq!(client.interim().expect("it asks"), 100);
    process.signal(Signal::TERM);
    // The listener is gone, the request is not.
    while Client::connect(&url).is_ok() {
        std::thread::yield_now();
    }
    client.send(rest).expect("it reads");
    assert_eq!(client.answer().expect("it answers").status, 200);
    let ended = process.wait().expect_code(0);
    assert_eq!(ended.summary().count("/delivered"), 1);
    assert_eq!(receiver.bodies(), [event("one", 1).as_bytes()]);
}

#[test]
fn a_full_queue_is_told_with_when_to_try_again() {
    let receiver = Receiver::always(Reply::status(503));
    let folder = Folder::new();
    let mut config = target("one", &receiver.url());
    config["queue"] = json!({ "maxBytes": 1 << 20, "whenFull": "reject" });
    let config = folder.config(&config);
    let process = Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0", "--grace", "0"])
        .spawn();
    let url = process.listens();
    let large = event("one", 1).replace("RUNNING", &"x".repeat(50_000));
    let answer = (0..100)
        .map(|_| post(&url, &[JSON], &large))
        .find(|answer| answer.status != 200)
        .expect("a queue of 1 MiB does not hold 5 MB");
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert_eq!(answer.json()["retry"], json!(true));
    let _ended = end(process).expect_code(3);
}

#[test]
fn sockets_that_systemd_passes_are_listened_on() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&json!({ "targets": [target("one", &receiver.url())] }));
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let url = format!("http://{}/", socket.local_addr().expect("it has one"));
    let run = |name: &str, socket: std::net::TcpListener| {
        let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&0 0</dev/null";
        std::process::Command::new("sh")
            .args(["-c", script])
            .arg(testkit::webhookd())
            .arg("--webhook-config")
            .arg(&config)
            .args(["--listen", "systemd"])
            .env("LISTEN_FDNAMES", name)
            .current_dir(folder.path())
            .stdin(std::os::fd::OwnedFd::from(socket))
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("there is a shell")
    };
    let other = socket.try_clone().expect("it can be cloned");
    let status = run("other", other).wait().expect("it ends");
    assert_eq!(status.code(), Some(2), "no socket of that name is passed");
    let mut process = run("ingest", socket);
    assert_eq!(post(&url, &[JSON], event("one", 1)).status, 200);
    receiver.wait_for_requests(1);
    process.kill().expect("it runs");
    process.wait().expect("it ends");
}

#[test]
fn the_transcripts_in_the_documentation_are_true() {
    if !has_curl() {
        return;
    }
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = target("default", &receiver.url());
    config["statuses"] = json!(["RUNNING", "FAILED"]);
    let inputs = json!({
        "batch": { "schema": "pointers", "key": "/id", "state": "/state", "each": "/events" },
        "cron": { "schema": "json", "unknown": "accept" },
        "knative": { "schema": "cloudevents" },
    });
    let config = json!({ "targets": [config], "inputs": inputs, "maxEventBytes": 4096 });
    let config = folder.config(&config);
    let launch = || Launch::with_config(&config).args(["--listen", "127.0.0.1:0"]);
    let tokens = folder.write("tokens", "sesame\n");
    let open = launch().spawn();
    let closed_folder = Folder::new();
    let closed = launch()
        .arg("--listen-token-file")
        .arg(&tokens)
        .arg("--queue")
        .arg(closed_folder.path().join("queue"))
        .spawn();
    let (open_url, closed_url) = (open.listens(), closed.listens());
    let places = [
        ("http://localhost:8080/", &*open_url),
        ("http://localhost:8081/", &*closed_url),
    ];
    let page = testkit::repository("docs/ingest.md");
    let text = std::fs::read_to_string(page).expect("it is there");
    let found = transcripts(&text);
    assert!(found.len() > 10, "{} transcripts", found.len());
    for transcript in found {
        transcript.check(folder.path(), &places);
    }
    for process in [open, closed] {
        let _ended = end(process).expect_code(0);
    }
}
