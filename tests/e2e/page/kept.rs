//! Deliveries that are kept, and are sent again by the page.

use super::{Page, marked, target};
use serde_json::json;
use testkit::{Receiver, Reply};

#[test]
fn delivered_events_that_are_kept_are_sent_again() {
    let receiver = Receiver::always(Reply::status(200));
    let mut keeping = target("audit", &receiver.url());
    keeping["retain"] = json!({ "maxBytes": 1 << 20 });
    let Some(page) = Page::open(&[keeping], &[]) else {
        return;
    };
    for task in ["build-1", "build-2", "build-3"] {
        page.event(task, 1);
    }
    page.admin.wait_for("audit", "kept", 3);
    let browser = &page.browser;
    page.go("dead-letters");
    browser.wait_for_text("main", "There are no dead letters.");
    browser.wait_for_text(&marked("filter-delivered"), "Delivered events kept");
    page.go("dead-letters?delivered=true");
    browser.wait_for_text(&marked("group-row"), "Delivered");
    browser.wait_for_text(&marked("letter-row"), "build-1");
    let row = format!("{}:has(a[href*=build-2])", marked("letter-row"));
    browser.click(&format!("{row} {}", marked("preview")), "Delivered");
    browser.wait_for_text(&marked("letter"), "build-2");
    browser.click(&marked("letter-replay"), "Replay");
    browser.wait_for_text(&marked("dialog-question"), "Replay 1 kept delivery?");
    browser.wait_for_text(
        "dialog",
        "The receiver has had these events and gets them again",
    );
    browser.click(&marked("dialog-confirm"), "Replay");
    browser.wait_for_text(&marked("dialog-result"), "1 event was put back");
    let result = format!("dialog:has({}) button", marked("dialog-result"));
    browser.click(&result, "Close");
    receiver.wait_for_requests(4);
    page.admin.wait_for("audit", "kept", 3);

    page.go("dead-letters?delivered=true&since=1h");
    browser.wait_for_text(&marked("letter-row"), "build-1");
    browser.click(&marked("replay-all"), "Replay all that match");
    browser.wait_for_text(&marked("dialog-question"), "Replay 3 kept deliveries");
    browser.click(&marked("dialog-confirm"), "Replay");
    browser.wait_for_text(&marked("dialog-result"), "3 events were put back");
    let again = &receiver.wait_for_requests(7)[4..];
    let ids: std::collections::BTreeSet<_> =
        again.iter().map(|it| it.header("webhook-id")).collect();
    assert_eq!(ids.len(), 3);
    page.expect_no_errors();
}
