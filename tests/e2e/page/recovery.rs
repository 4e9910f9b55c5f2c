//! What an operator does about a receiver that fails, and about its dead letters.

use super::{Page, marked, target};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use testkit::{Receiver, Reply};

/// A receiver whose answer can be changed.
fn receiver(status: u16) -> (Receiver, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(status));
    let answer = Arc::clone(&status);
    let receiver = Receiver::start(move |_| {
        let status = answer.load(Ordering::SeqCst);
        Reply::status(status).body(format!("answered {status}"))
    });
    (receiver, status)
}

#[test]
fn a_receiver_is_seen_failing_and_its_dead_letters_are_replayed_once_it_is_mended() {
    let (receiver, status) = receiver(500);
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &[]) else {
        return;
    };
    let browser = &page.browser;
    browser.wait_for_text(&marked("state"), "OK");
    for task in ["build-1", "build-2", "test-1"] {
        page.event(task, 1);
    }
    // The words of a target that fails.
    browser.wait_for(
        "/Retrying|Breaker open|Probing/.test(document.querySelector('[data-test=state]').textContent)",
    );
    browser.wait_for_text(&marked("target-row"), "500");
    browser.click(&marked("target-link"), "audit");
    browser.wait_for_text(&marked("stuck-row"), "build-1");
    browser.click(&format!("{} summary", marked("answer")), "Answer");
    browser.wait_for_text(&marked("attempt-row"), "answered 500");

    status.store(422, Ordering::SeqCst);
    browser.wait_for_text(&marked("dead-letters-link"), "3 dead letters");
    status.store(200, Ordering::SeqCst);
    browser.click(&marked("dead-letters-link"), "3 dead letters");
    browser.wait_for_text(&marked("group-row"), "Refused by the receiver");
    browser.wait_for_text(&marked("letter-row"), "build-1");

    browser.fill(&marked("filter-task"), "build-2");
    browser.click(&marked("filter-apply"), "");
    browser.wait_until_gone(&marked("letter-row"), "build-1");
    assert!(page.browser.location().contains("task=build-2"));
    browser.click(&marked("preview"), "422");
    browser.wait_for_text(&marked("letter"), "answered 422");
    browser.wait_for_text(&marked("letter"), "build-2");
    browser.click(&marked("letter-replay"), "Replay");
    browser.wait_for_text(&marked("dialog-question"), "Replay 1 dead letter?");
    browser.click(&marked("dialog-confirm"), "Replay");
    browser.wait_for_text(&marked("dialog-result"), "1 event was put back");
    browser.click(
        &format!("dialog:has({}) button", marked("dialog-result")),
        "Close",
    );
    browser.wait_until_gone(&marked("letter-row"), "build-2");
    page.admin.wait_for("audit", "deadHeld", 2);

    // The others, by the whole filter.
    browser.click(&marked("filter-clear"), "");
    browser.wait_for_text(&marked("letter-row"), "test-1");
    browser.click(&marked("replay-all"), "");
    browser.wait_for_text(&marked("dialog-question"), "Replay 2 dead letters");
    browser.click(&marked("dialog-confirm"), "Replay");
    browser.wait_for_text(&marked("dialog-result"), "2 events were put back");
    browser.click(&marked("dialog-close"), "Close");
    browser.wait_for_text("main", "There are no dead letters.");
    page.admin.wait_for("audit", "delivered", 3);
    browser.click(&marked("nav-overview"), "");
    browser.wait_for_text(&marked("state"), "OK");
    page.expect_no_errors();
}

#[test]
fn selected_dead_letters_are_dropped() {
    let (receiver, _) = receiver(422);
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &[]) else {
        return;
    };
    page.event("kept", 1);
    page.event("dropped", 1);
    page.admin.wait_for("audit", "deadHeld", 2);
    page.go("dead-letters");
    let browser = &page.browser;
    browser.wait_for_text(&marked("letter-row"), "kept");
    let row = format!("{}:has(a[href*=dropped])", marked("letter-row"));
    browser.click(&format!("{row} {}", marked("select")), "");
    browser.click(&marked("drop-selected"), "Drop 1");
    browser.wait_for_text(&marked("dialog-question"), "Drop 1 dead letter?");
    browser.click(&marked("dialog-confirm"), "Drop");
    browser.wait_for_text(&marked("dialog-result"), "1 event was deleted");
    browser.click(&marked("dialog-close"), "Close");
    browser.wait_until_gone(&marked("letter-row"), "dropped");
    browser.wait_for_text(&marked("letter-row"), "kept");
    page.expect_no_errors();
}

#[test]
fn a_target_is_paused_and_resumed() {
    let (receiver, _) = receiver(200);
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &[]) else {
        return;
    };
    let browser = &page.browser;
    browser.click(&marked("target-link"), "audit");
    browser.click(&marked("pause"), "Pause");
    browser.wait_for_text(&marked("dialog-question"), "Pause deliveries to audit?");
    browser.click(&marked("dialog-confirm"), "Pause");
    browser.click(&marked("dialog-close"), "Close");
    browser.wait_for_text(&marked("state"), "Paused");
    page.event("one", 1);
    page.admin.wait_for("audit", "pending", 1);
    assert_eq!(receiver.requests().len(), 0);
    browser.click(&marked("resume"), "Resume");
    browser.wait_for_text(&marked("state"), "OK");
    page.admin.wait_for("audit", "delivered", 1);
    page.expect_no_errors();
}

#[test]
fn a_test_event_is_sent_and_its_answer_shown() {
    let (receiver, _) = receiver(418);
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &[]) else {
        return;
    };
    let browser = &page.browser;
    browser.click(&marked("target-link"), "audit");
    browser.click(&marked("send-test"), "");
    browser.click(&marked("test-send"), "");
    browser.wait_for_text("dialog", "418");
    browser.wait_for_text("dialog", "answered 418");
    assert_eq!(receiver.requests().len(), 1);
    page.expect_no_errors();
}

#[test]
fn a_task_is_found_by_its_id_with_what_became_of_it() {
    let (receiver, status) = receiver(200);
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &[]) else {
        return;
    };
    page.event("lost task/1", 1);
    page.admin.wait_for("audit", "delivered", 1);
    status.store(422, Ordering::SeqCst);
    page.event("lost task/1", 2);
    page.admin.wait_for("audit", "deadHeld", 1);
    let browser = &page.browser;
    browser.fill("#search-text", "lost task/1");
    browser.press("\u{e007}");
    browser.wait_for_text("main", "Dead letter");
    browser.wait_for_text("main", "200 delivered");
    assert!(browser.location().ends_with("#/tasks/lost%20task%2F1"));
    browser.fill("#search-text", "unknown");
    browser.press("\u{e007}");
    browser.wait_until_gone("main", "200 delivered");
    browser.wait_for_text("main", "unknown");
    page.expect_no_errors();
}

#[test]
fn more_dead_letters_than_one_request_reads_are_counted_searched_and_replayed() {
    const LETTERS: u64 = 300;
    let (receiver, status) = receiver(404);
    let mut target = target("audit", &receiver.url());
    target["retry"] = serde_json::json!({ "maxAttempts": 1 });
    let Some(page) = Page::open(&[target], &[]) else {
        return;
    };
    for number in 1..LETTERS {
        page.event(&format!("build-{number}"), 1);
    }
    page.event("last", 1);
    page.admin.wait_for("audit", "deadHeld", LETTERS);
    status.store(200, Ordering::SeqCst);
    page.go("dead-letters");
    let browser = &page.browser;
    browser.wait_for_text(&marked("group-row"), "250");
    browser.click(&marked("count-all"), "Count all");
    browser.wait_for_text(&marked("group-row"), "300");

    browser.fill(&marked("filter-task"), "last");
    browser.click(&marked("filter-apply"), "");
    browser.click(&marked("search-on"), "Search on");
    browser.wait_for_text(&marked("letter-row"), "last");
    browser.click(&marked("replay-all"), "");
    browser.wait_for_text(&marked("dialog-question"), "Replay 1 dead letter");
    browser.click(&marked("dialog-confirm"), "Replay");
    browser.wait_for_text(&marked("dialog-result"), "1 event was put back");
    page.admin.wait_for("audit", "delivered", 1);
    page.expect_no_errors();
}
