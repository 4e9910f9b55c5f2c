//! What a receiver answers, or fails to, and how the summary tells these apart.

use serde_json::Value;
use std::path::PathBuf;
use testkit::{
    Ended, Folder, Launch, Port, Receiver, Reply, Request, Summary, best_effort, event, task_of,
};

/// Delivers one event of each of three tasks with this config.
fn deliver_three(config: &Value) -> Ended {
    let folder = Folder::new();
    let path: PathBuf = folder.config(config);
    let lines: String = ["a", "b", "c"].map(|task| event(task, 0) + "\n").concat();
    Launch::with_config(&path).run(lines)
}

/// Three events, each tried once, fail with this outcome and these counters.
fn check_failure(config: &Value, outcome: &str, counters: [u64; 4]) -> Summary {
    let summary = deliver_three(config).expect_code(1).summary();
    assert_eq!(summary.outcomes(), outcome);
    assert_eq!(summary.counters(), counters);
    assert_eq!(summary.count("/failed"), 3);
    assert_eq!(summary.count("/delivered"), 0);
    assert_eq!(summary.count("/targets/0/attempts"), 3);
    summary
}

fn check_success(reply: Reply) {
    let receiver = Receiver::always(reply);
    let summary = deliver_three(&best_effort(&receiver.url()))
        .expect_code(0)
        .summary();
    assert_eq!(receiver.requests().len(), 3);
    assert_eq!(summary.counters(), [3, 3, 0, 0]);
    assert_eq!(summary.outcomes(), "2xx 3");
}

#[test]
fn an_answer_of_500_is_a_user_error() {
    let receiver = Receiver::always(Reply::status(500));
    check_failure(&best_effort(&receiver.url()), "5xx 3", [3, 0, 0, 3]);
    assert_eq!(receiver.requests().len(), 3, "best effort is one attempt");
}

#[test]
fn an_answer_of_404_is_a_user_error() {
    let receiver = Receiver::always(Reply::status(404).body("no such topic"));
    check_failure(&best_effort(&receiver.url()), "4xx 3", [3, 0, 0, 3]);
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::always(Reply::status(200));
    let receiver = Receiver::always(Reply::status(307).header("Location", &elsewhere.url()));
    check_failure(&best_effort(&receiver.url()), "3xx 3", [3, 0, 0, 3]);
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn an_answer_after_the_time_out_is_an_error() {
    let receiver = Receiver::always(Reply::status(200).too_late());
    let mut config = best_effort(&receiver.url());
    config["responseTimeoutMsec"] = 200.into();
    check_failure(&config, "timeout 3", [3, 0, 3, 0]);
    receiver.wait_for_done(3);
}

#[test]
fn a_closed_port_is_an_error() {
    let port = Port::take();
    check_failure(&best_effort(&port.url()), "connect 3", [3, 0, 3, 0]);
}

#[test]
fn a_connection_that_ends_without_an_answer_is_an_error() {
    for reply in [Reply::close(), Reply::reset()] {
        let receiver = Receiver::always(reply);
        check_failure(&best_effort(&receiver.url()), "io 3", [3, 0, 3, 0]);
        assert_eq!(
            receiver.requests().len(),
            3,
            "best effort is one attempt, hidden ones too"
        );
    }
}

#[test]
fn an_answer_that_is_not_http_is_an_error() {
    for garbage in ["\0\r\n\r\n", "HTTP/1.1 2OO OK\r\n\r\n", "SSH-2.0-x\r\n"] {
        let receiver = Receiver::always(Reply::raw(garbage));
        check_failure(&best_effort(&receiver.url()), "io 3", [3, 0, 3, 0]);
    }
}

#[test]
fn an_answer_cut_off_within_its_head_is_an_error() {
    for reply in [
        Reply::status(200).cut_to(20).then_close(),
        Reply::status(200).cut_to(20).then_reset(),
    ] {
        let receiver = Receiver::always(reply);
        check_failure(&best_effort(&receiver.url()), "io 3", [3, 0, 3, 0]);
    }
}

#[test]
fn one_run_tells_all_of_them_apart() {
    let receiver = Receiver::start(|request: &Request| match task_of(&request.body).as_str() {
        "a" => Reply::status(200),
        "b" => Reply::status(503),
        "c" => Reply::close(),
        "d" => Reply::status(200).too_late(),
        _ => Reply::status(404),
    });
    let folder = Folder::new();
    let mut config = best_effort(&receiver.url());
    config["responseTimeoutMsec"] = 500.into();
    let path = folder.config(&config);
    let lines: String = ["a", "a", "b", "c", "d", "e", "a"]
        .iter()
        .enumerate()
        .map(|(number, task)| event(task, number) + "\n")
        .collect();
    let summary = Launch::with_config(&path)
        .run(lines)
        .expect_code(1)
        .summary();
    assert_eq!(summary.counters(), [7, 3, 2, 2]);
    assert_eq!(summary.count("/delivered"), 3);
    assert_eq!(summary.count("/failed"), 4);
    for (outcome, count) in [
        ("2xx", 3),
        ("3xx", 0),
        ("4xx", 1),
        ("5xx", 1),
        ("timeout", 1),
        ("connect", 0),
        ("io", 1),
    ] {
        assert_eq!(
            summary.count(&format!("/targets/0/outcomes/{outcome}")),
            count,
            "{outcome}"
        );
    }
}

#[test]
fn any_2xx_is_a_success() {
    for status in [200, 201, 202, 204, 299] {
        // A 204 has no body, and no length either.
        check_success(match status {
            204 => Reply::raw("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
            status => Reply::status(status),
        });
    }
}

#[test]
fn an_answers_body_may_be_framed_in_every_way() {
    let body = vec![b'x'; 5000];
    check_success(Reply::status(200).body(body.clone()));
    check_success(Reply::status(200).body(body.clone()).chunked());
    check_success(Reply::status(200).body(body).close_delimited());
}

#[test]
fn an_interim_answer_is_not_the_answer() {
    check_success(Reply::status(200).interim(100));
    check_success(Reply::status(200).interim(103).interim(102));
}

#[test]
fn a_huge_answer_is_not_read_to_its_end() {
    // Would take an hour at this pace, if anybody waited for it.
    let endless = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n".to_owned()
        + &"x".repeat(1 << 20);
    check_success(Reply::raw(endless).then_stall());
}

#[test]
fn a_connection_closed_between_two_events_is_replaced() {
    let receiver = Receiver::always(Reply::status(200).then_close());
    let folder = Folder::new();
    // Not best-effort: a request that goes out at the moment of the close is one attempt lost.
    let path = folder.config(&crate::durable::reliable(&receiver.url()));
    let mut process = Launch::with_config(&path).spawn();
    for number in 0..5 {
        process.write(event("one", number) + "\n");
        receiver.wait_for_done(number + 1);
    }
    process.close_input();
    let _ended = process.wait().expect_code(0);
    assert_eq!(receiver.requests().len(), 5);
}

#[test]
fn answers_are_bytes() {
    let head = b"HTTP/1.1 200 \xff\r\nX-Name: caf\xe9\r\nConnection: close\r\nContent-Length: 2\r\n\r\n\xff\xfe";
    check_success(Reply::raw(head.to_vec()));
}

#[test]
fn a_2xx_status_line_is_a_success_whatever_the_rest_of_the_head_is() {
    let end = "Content-Length: 2\r\n\r\nok";
    for head in [
        format!("Content-Security-Policy:\r\n default-src 'self'\r\n{end}"),
        format!("Set-Cookie: ___utm=dm\u{1}Pf; path=/\r\n{end}"),
        format!("X-Powered-By : ASP\r\nX-Caf\u{e9}: 1\r\nno colon\r\n{end}"),
        format!("{}{end}", "X: a\r\n".repeat(130)),
        format!("X: {}\r\n{end}", "a".repeat(70_000)),
        format!("Content-Length: 3\r\n{end}"),
    ] {
        check_success(Reply::raw(format!("HTTP/1.1 200 OK\r\n{head}")));
    }
    check_success(Reply::raw("HTTP/1.1 200 OK\r\nContent-Le").then_close());
}
