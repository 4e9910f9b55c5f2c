//! SIGTERM and SIGINT: drain within the grace, then end; a second one ends at once.

use testkit::{BlackHole, Folder, Launch, Receiver, Reply, Signal, best_effort, event};

#[test]
fn a_signal_lets_the_deliveries_under_way_end() {
    for signal in [Signal::TERM, Signal::INT] {
        let receiver = Receiver::always(Reply::status(200).held());
        let folder = Folder::new();
        let config = folder.config(&best_effort(&receiver.url()));
        let mut process = Launch::with_config(&config).args(["--grace", "1h"]).spawn();
        process.write(event("one", 1) + "\n" + &event("one", 2) + "\n");
        receiver.wait_for_requests(1);
        process.signal(signal);
        // Its input stays open: it must end nevertheless, without having read more.
        receiver.release();
        let ended = process.wait();
        let summary = ended.summary();
        assert_eq!(
            summary.count("/delivered"),
            receiver.requests().len() as u64
        );
        assert_eq!(summary.count("/unfinished"), 0, "{}", ended.stderr);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

#[test]
fn a_receiver_that_never_answers_is_left_after_the_grace() {
    let receiver = Receiver::always(Reply::silence());
    let folder = Folder::new();
    let mut config = best_effort(&receiver.url());
    config["responseTimeoutMsec"] = 3_600_000.into();
    let config = folder.config(&config);
    let mut process = Launch::with_config(&config)
        .args(["--grace", "200ms"])
        .spawn();
    process.write(event("one", 1) + "\n" + &event("two", 2) + "\n");
    receiver.wait_for_requests(2);
    process.signal(Signal::TERM);
    let ended = process.wait().expect_code(1);
    assert_eq!(ended.summary().count("/delivered"), 0);
    assert_eq!(ended.summary().count("/unfinished"), 2);
}

#[test]
fn a_receiver_that_accepts_no_connection_is_left_after_the_grace() {
    let black_hole = BlackHole::start();
    let folder = Folder::new();
    let mut config = best_effort(&black_hole.url());
    config["timeoutMsec"] = 3_600_000.into();
    let config = folder.config(&config);
    let mut process = Launch::with_config(&config)
        .args(["--grace", "200ms"])
        .spawn();
    process.write(event("one", 1) + "\n" + &event("two", 2) + "\n");
    black_hole.wait_for_connecting(2);
    process.signal(Signal::TERM);
    let ended = process.wait().expect_code(1);
    assert_eq!(ended.summary().count("/delivered"), 0);
    assert_eq!(ended.summary().count("/unfinished"), 2);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let receiver = Receiver::always(Reply::silence());
    let folder = Folder::new();
    let mut config = best_effort(&receiver.url());
    config["responseTimeoutMsec"] = 3_600_000.into();
    let config = folder.config(&config);
    let mut process = Launch::with_config(&config)
        .args(["--grace", "10h"])
        .spawn();
    process.write(event("one", 1) + "\n");
    receiver.wait_for_requests(1);
    process.signal(Signal::TERM);
    // Two at the same moment may both count as the first.
    process.wait_for_error("SIGTERM: ending");
    process.signal(Signal::INT);
    let ended = process.wait();
    assert_ne!(ended.code, Some(0), "{}", ended.stderr);
}
