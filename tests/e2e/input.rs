//! What is read: files and standard input, good lines and bad ones, and the config.

use testkit::{Ended, Folder, Launch, Receiver, Reply, best_effort, event, events, fixture};

/// Feeds this input and returns the end and the bodies that arrived.
fn feed(input: impl Into<Vec<u8>>) -> (Ended, Vec<String>) {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&best_effort(&receiver.url()));
    let ended = Launch::with_config(&config).run(input);
    let bodies = receiver
        .bodies()
        .into_iter()
        .map(|body| String::from_utf8(body).expect("UTF-8"));
    (ended, bodies.collect())
}

#[test]
fn a_line_of_garbage_is_named_and_the_rest_delivered() {
    for garbage in [
        "garbage",
        "{\"task\":",
        "[1,2]",
        "42",
        "\"text\"",
        "{}",
        "{} {}",
        "{\"task\":7}",
    ] {
        let lines = [
            event("one", 1),
            event("one", 2),
            garbage.to_owned(),
            event("one", 4),
        ];
        let (ended, bodies) = feed(lines.join("\n") + "\n");
        let ended = ended.expect_code(1);
        assert_eq!(
            bodies,
            [event("one", 1), event("one", 2), event("one", 4)],
            "{garbage}"
        );
        assert!(
            ended.stderr.contains("line 3"),
            "{garbage}: {}",
            ended.stderr
        );
        assert_eq!(ended.summary().count("/rejected"), 1, "{garbage}");
        assert_eq!(ended.summary().count("/events"), 3, "{garbage}");
        assert_eq!(ended.summary().count("/delivered"), 3, "{garbage}");
    }
}

#[test]
fn every_bad_line_is_named_with_its_own_number() {
    let (ended, bodies) = feed(format!("x\n\n{}\ny\n", event("one", 3)));
    let ended = ended.expect_code(1);
    assert_eq!(bodies, [event("one", 3)]);
    // Blank lines count, as they do in an editor.
    for (number, bad) in [(1, true), (2, false), (3, false), (4, true)] {
        let named = ended.stderr.contains(&format!("line {number}"));
        assert_eq!(named, bad, "line {number}: {}", ended.stderr);
    }
}

#[test]
fn a_line_that_is_not_utf_8_is_named() {
    let mut lines = event("one", 1).into_bytes();
    lines.extend_from_slice(b"\n{\"task\":{\"status\":\"\xff\"}}\n");
    lines.extend_from_slice(event("one", 3).as_bytes());
    let (ended, bodies) = feed(lines);
    let ended = ended.expect_code(1);
    assert_eq!(bodies, [event("one", 1), event("one", 3)]);
    assert!(ended.stderr.contains("line 2"), "{}", ended.stderr);
}

#[test]
fn line_ends_of_windows_and_blank_lines_are_no_part_of_an_event() {
    let lines = [
        event("one", 1),
        String::new(),
        "  ".to_owned(),
        event("one", 2),
    ];
    let (ended, bodies) = feed(lines.join("\r\n") + "\r\n\r\n");
    let ended = ended.expect_code(0);
    assert_eq!(bodies, [event("one", 1), event("one", 2)]);
    assert_eq!(ended.summary().count("/events"), 2);
}

#[test]
fn the_last_line_needs_no_line_feed() {
    let (ended, bodies) = feed(event("one", 1) + "\n" + &event("one", 2));
    let _ended = ended.expect_code(0);
    assert_eq!(bodies, [event("one", 1), event("one", 2)]);
}

#[test]
fn no_input_is_no_failure() {
    let (ended, bodies) = feed("");
    let ended = ended.expect_code(0);
    assert!(bodies.is_empty());
    assert_eq!(ended.summary().count("/events"), 0);
    assert!(
        ended.summary().json()["latencyMs"].is_null(),
        "no delivery has no latency"
    );
}

#[test]
fn an_event_is_delivered_while_the_input_is_open() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&best_effort(&receiver.url()));
    let mut process = Launch::with_config(&config).spawn();
    process.write(event("one", 1) + "\n");
    assert_eq!(
        receiver.wait_for_requests(1)[0].body,
        event("one", 1).as_bytes()
    );
    process.close_input();
    let _ended = process.wait().expect_code(0);
}

#[test]
fn events_are_read_from_a_file_or_from_standard_input_as_asked() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&best_effort(&receiver.url()));
    let file = folder.write("events.ndjson", event("file", 1) + "\n");
    let launch = || Launch::with_config(&config).arg("--events");
    let _ended = launch().arg(&file).run("").expect_code(0);
    assert_eq!(receiver.bodies(), [event("file", 1).as_bytes()]);
    let _ended = launch().arg("-").run(event("stdin", 1)).expect_code(0);
    assert_eq!(receiver.bodies()[1..], [event("stdin", 1).as_bytes()]);
}

#[test]
fn the_subcommand_may_be_written_out_and_the_option_in_our_spelling() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&best_effort(&receiver.url()));
    let path = config.to_str().expect("UTF-8");
    let spellings: [&[&str]; 5] = [
        &["run", "--webhook-config", path],
        &["--webhook-config", path],
        &["run", &format!("-webhook_config={path}")],
        &["-webhook_config", path],
        &[&format!("--webhook-config={path}")],
    ];
    for (count, spelling) in spellings.into_iter().enumerate() {
        let launch = Launch::new().args(spelling).current_dir(folder.path());
        let _ended = launch.run(event("one", count)).expect_code(0);
        assert_eq!(receiver.requests().len(), count + 1, "{spelling:?}");
    }
}

#[test]
fn an_event_file_that_is_missing_is_named() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&best_effort(&receiver.url()));
    let launch = Launch::with_config(&config).args(["--events", "no-such-file.ndjson"]);
    let ended = launch.run("").expect_code(2);
    assert!(
        ended.stderr.contains("no-such-file.ndjson"),
        "{}",
        ended.stderr
    );
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn a_folder_is_no_event_file() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&best_effort(&receiver.url()));
    let _ended = Launch::with_config(&config)
        .arg("--events")
        .arg(folder.path())
        .run("")
        .expect_code(2);
}

#[test]
fn a_config_that_is_missing_is_named() {
    let folder = Folder::new();
    let ended = Launch::with_config(&folder.path().join("absent.json"))
        .run("")
        .expect_code(2);
    assert!(ended.stderr.contains("absent.json"), "{}", ended.stderr);
}

#[test]
fn an_unknown_option_is_bad_usage() {
    let ended = Launch::new().arg("--no-such-option").run("").expect_code(2);
    assert!(
        ended.stderr.contains("--no-such-option"),
        "{}",
        ended.stderr
    );
}

#[test]
fn an_unknown_key_is_told_with_its_place_and_the_nearest_known_one_and_nothing_is_sent() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let text = format!(
        "{{\n  \"headers\": {{}},\n  \"targetURL\": \"{}\",\n  \"timeoutMs\": 5000\n}}\n",
        receiver.url()
    );
    let config = folder.write("webhook.json", text);
    let ended = Launch::with_config(&config)
        .arg("--events")
        .arg(fixture("events.ndjson"));
    let ended = ended.run("").expect_code(2);
    for told in [
        "timeoutMs",
        "webhook.json:4:3",
        "timeoutMsec",
        "did you mean",
    ] {
        assert!(ended.stderr.contains(told), "{told} in: {}", ended.stderr);
    }
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn a_line_over_the_bound_is_named_and_the_rest_delivered() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = best_effort(&receiver.url());
    config["maxEventBytes"] = 2000.into();
    let config = folder.config(&config);
    let long = |length: usize| {
        let line = event("one", 1);
        let filler = "x".repeat(length - line.len() - r#","filler":"""#.len());
        let open = line.strip_suffix('}').expect("it is an object");
        format!(r#"{open},"filler":"{filler}"}}"#)
    };
    let at_the_bound = long(2000);
    assert_eq!(at_the_bound.len(), 2000);
    let lines = [
        at_the_bound.clone(),
        long(2001),
        event("one", 3),
        // Longer than any buffer.
        long(20 << 20),
        event("one", 5),
    ];
    let ended = Launch::with_config(&config)
        .run(lines.join("\n"))
        .expect_code(1);
    let expected = [at_the_bound, event("one", 3), event("one", 5)];
    assert!(
        receiver.bodies() == expected.map(String::into_bytes),
        "{}",
        ended.stderr
    );
    for (number, bad) in [(1, false), (2, true), (3, false), (4, true), (5, false)] {
        let named = ended.stderr.contains(&format!("line {number}"));
        assert_eq!(named, bad, "line {number}: {}", ended.stderr);
    }
    assert_eq!(ended.summary().count("/rejected"), 2);
    assert!(
        ended.stderr.len() < 10_000,
        "a bad line is not repeated in full"
    );
}

#[test]
fn a_large_event_is_delivered_whole() {
    let filler = "x".repeat(1 << 19);
    let line = event("one", 1).replace("RUNNING", &format!("RUNNING\",\"filler\":\"{filler}"));
    let (ended, bodies) = feed(line.clone() + "\n");
    let _ended = ended.expect_code(0);
    assert!(bodies == [line], "{} bodies", bodies.len());
}

#[test]
fn the_fixture_stream_is_fit_for_these_tests() {
    // Several tasks of several events: else no test here shows an order.
    let events = events();
    let tasks = crate::deliver::by_task(&events);
    let long = tasks.values().filter(|events| events.len() > 2).count();
    assert!(
        long > 2,
        "{long} of {} tasks have more than two events",
        tasks.len()
    );
}
