//! Events of other schedulers, posted as they post them.

use crate::inputs::{config, end, listening, rejects, samples};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::{Admin, Client, Folder, Receiver, Reply, fixture, post_to};

#[test]
fn slurms_requests_are_answered_200_and_arrive_once() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &config(&receiver.url()));
    let url = process.listens();
    // Each on a connection of its own, as Slurm makes them; and again, as if the answer were lost.
    for round in 0..2 {
        for body in samples("slurm.ndjson") {
            let headers = ["Accept: */*", "Content-Type: application/json"];
            let answer = post_to(&url, "/events/slurm/_doc", &headers, &body);
            let told = answer.expect_status(200).json();
            assert_eq!(
                told["duplicate"].as_bool(),
                (round == 1).then_some(true),
                "{told}"
            );
        }
    }
    // A request as it was captured, but for the path.
    let captured = std::fs::read(fixture("schedulers/slurm.http")).expect("it is committed");
    let line_end = captured
        .iter()
        .position(|byte| *byte == b'\r')
        .expect("a request line");
    let mut client = Client::connect(&url).expect("it listens");
    client
        .send("POST /events/slurm/_doc HTTP/1.1")
        .expect("it reads");
    client.send(&captured[line_end..]).expect("it reads");
    client.answer().expect("it answers").expect_status(200);
    let all = samples("slurm.ndjson");
    receiver.wait_for_requests(all.len());
    for body in &all {
        assert!(receiver.bodies().contains(body));
    }
    let _ended = end(process).expect_code(0);
    let ids: BTreeSet<_> = receiver
        .requests()
        .iter()
        .map(|it| it.header("webhook-id"))
        .collect();
    assert_eq!(ids.len(), receiver.requests().len());
    assert!(receiver.requests().len() <= all.len() + 1);
}

#[test]
fn a_body_of_two_megabytes_is_asked_for_and_its_script_left_out() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = config(&receiver.url());
    config["inputs"]["slurm"]["omit"] = json!(["/script"]);
    let process = listening(&folder, &config);
    let script = "#!/bin/sh\\n".repeat(200_000);
    let body = format!(
        r#"{{"jobid":7,"script":"{script}","state":"COMPLETED","@submit":"s","@end":"2026-11-29T11:51:11"}}"#
    );
    let head = format!(
        "POST /events/slurm HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    let mut client = Client::connect(&process.listens()).expect("it listens");
    client.send(head).expect("it reads");
    assert_eq!(client.interim().expect("it answers"), 100);
    client.send(&body).expect("it reads");
    client.answer().expect("it answers").expect_status(200);
    let arrived = &receiver.wait_for_requests(1)[0];
    let expected = r#"{"jobid":7,"state":"COMPLETED","@submit":"s","@end":"2026-11-29T11:51:11"}"#;
    assert_eq!(String::from_utf8_lossy(&arrived.body), expected);
    let _ended = end(process).expect_code(0);
}

#[test]
fn what_slurm_sends_and_is_not_understood_is_kept_as_a_reject() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &config(&receiver.url()));
    let url = process.listens();
    let long = vec![b'x'; 20 << 10];
    for (body, why) in [
        (&b"not JSON"[..], "expected"),
        (b"{\"state\":\"COMPLETED\"}", "/jobid"),
        (b"[]", "key"),
        (b"", "empty"),
        (&long, "longer than"),
    ] {
        let told = post_to(&url, "/events/slurm", &[], body)
            .expect_status(200)
            .json();
        assert_eq!(told["unknown"], json!(true), "{told}");
        let error = told["error"].as_str().expect("a reason");
        assert!(error.contains(why), "{error}");
    }
    // A job name goes raw, in whatever encoding.
    let raw = b"{\"jobid\":8,\"state\":\"FAILED\",\"job_name\":\"caf\xe9\",\"@submit\":\"s\",\"@end\":\"e\"}";
    post_to(&url, "/events/slurm", &[], raw).expect_status(200);
    let arrived = &receiver.wait_for_requests(1)[0].body;
    assert!(String::from_utf8_lossy(arrived).contains("caf\u{fffd}"));
    let metrics = Admin::of(&process).text("/metrics");
    for sample in [
        "webhookd_events_unknown_total{input=\"slurm\"} 5\n",
        "webhookd_events_submitted_total{input=\"slurm\"} 1\n",
    ] {
        assert!(metrics.contains(sample), "{metrics}");
    }
    let ended = end(process).expect_code(0);
    assert!(
        ended.stderr.contains("kept as a reject"),
        "{}",
        ended.stderr
    );
    let kept = rejects(folder.path(), "slurm");
    assert_eq!(kept.len(), 5);
    assert_eq!(kept[0]["body"], "not JSON");
    let long = (&kept[4]["bytes"], &kept[4]["truncated"]);
    assert_eq!(long, (&json!(20 << 10), &json!(true)));
}

#[test]
fn the_samples_of_other_schedulers_are_accepted_as_they_are_posted() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &config(&receiver.url()));
    let url = process.listens();
    for (path, file) in [
        ("/events/airflow", "airflow.ndjson"),
        ("/events/kubernetes", "kubernetes.ndjson"),
        ("/events/kubernetes", "kubernetes-events.ndjson"),
        ("/events/nomad", "nomad.ndjson"),
    ] {
        for body in samples(file) {
            // Without a Content-Type, as some programs send JSON.
            post_to(&url, path, &[], body).expect_status(200);
        }
    }
    let ended = end(process).expect_code(0);
    let delivered = ended.summary().count("/delivered");
    assert!(delivered > 20, "{delivered}");
    let sent: Vec<Vec<u8>> = ["airflow", "kubernetes", "kubernetes-events", "nomad"]
        .iter()
        .flat_map(|name| samples(&format!("{name}.ndjson")))
        .collect();
    for body in receiver.bodies() {
        let part = |whole: &Vec<u8>| has_part(whole, &body);
        assert!(sent.iter().any(part), "{}", String::from_utf8_lossy(&body));
    }
}

/// Whether `part` is in `whole`, byte for byte.
fn has_part(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}

#[test]
fn rays_arrays_are_accepted_as_a_whole_and_again() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let process = listening(&folder, &config(&receiver.url()));
    let mut client = Client::connect(&process.listens()).expect("it listens");
    let batches = samples("ray-batches.ndjson");
    let elements = |batch: &[u8]| -> Vec<Value> { serde_json::from_slice(batch).expect("JSON") };
    let (mut delivered, mut dropped) = (0, 0);
    for round in 0..2 {
        for batch in &batches {
            let head = format!(
                "POST /events/ray HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 User-Agent: Python/3.11 aiohttp/3.14.5\r\nContent-Length: {}\r\n\r\n",
                batch.len()
            );
            client
                .send([head.as_bytes(), batch].concat())
                .expect("it reads");
            let told = client
                .answer()
                .expect("it answers")
                .expect_status(200)
                .json();
            assert_eq!(told["accepted"], json!(elements(batch).len()), "{told}");
            let ignored = told["ignored"].as_u64().unwrap_or(0);
            let new = elements(batch).len() as u64 - ignored;
            let repeated = told["duplicates"].as_u64().unwrap_or(0);
            assert_eq!(repeated, if round == 0 { 0 } else { new }, "{told}");
            delivered += new - repeated;
            dropped += ignored;
        }
    }
    let sample = format!("webhookd_events_ignored_total{{input=\"ray\"}} {dropped}\n");
    let metrics = Admin::of(&process).text("/metrics");
    assert!(metrics.contains(&sample), "{sample} in {metrics}");
    let arrived = receiver.wait_for_requests(usize::try_from(delivered).expect("a few"));
    for request in &arrived {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let whole = batches.iter().map(|batch| String::from_utf8_lossy(batch));
        assert!(whole.clone().any(|batch| batch.contains(&text)), "{text}");
        let kinds = ["TASK_LIFECYCLE_EVENT", "TASK_DEFINITION_EVENT"];
        assert!(kinds.iter().any(|kind| text.contains(kind)), "{text}");
    }
    // One that is not understood holds up nothing.
    let mixed = post_to(&process.listens(), "/events/ray", &[], b"[17,{}]");
    assert_eq!(mixed.expect_status(200).json()["accepted"], json!(2));
    let _ended = end(process).expect_code(0);
    assert_eq!(receiver.requests().len() as u64, delivered);
}
