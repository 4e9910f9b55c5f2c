//! A webhookd that ends while its page is open.

use super::{Page, launch, marked, target};
use serde_json::json;
use testkit::{Receiver, Reply, Signal, post};

#[test]
fn the_page_says_since_when_webhookd_is_away_and_goes_on_once_it_is_back() {
    let receiver = Receiver::always(Reply::status(200));
    // A later start listens on the same port, which no other process takes on this address.
    let id = std::process::id();
    let host = format!(
        "127.{}.{}.{}",
        64 + (id >> 16) % 64,
        (id >> 8) % 256,
        id % 256
    );
    let targets = [target("audit", &receiver.url())];
    let Some(page) = Page::open_on(&format!("{host}:0"), &targets, &[]) else {
        return;
    };
    let Page {
        browser,
        admin,
        process,
        folder,
        ..
    } = page;
    browser.wait_for_text(&marked("target-row"), "audit");
    process.signal(Signal::TERM);
    let _ended = process.wait();
    let away = marked("away");
    browser.wait_for_text(&away, "webhookd has not answered since");
    // What was seen last stays.
    browser.wait_for_text(&marked("target-row"), "audit");
    let address = admin.url().trim_start_matches("http://");
    let process = launch(&folder, address.trim_end_matches('/'), &[]);
    browser.wait_until_gone(&away, "");
    browser.wait_for_text(&marked("message"), "restarted");
    let event = testkit::event("one", 1);
    post(
        &process.listens(),
        &["Content-Type: application/json"],
        event,
    )
    .expect_status(200);
    browser.click(&marked("target-link"), "audit");
    browser.wait_for_text(&marked("attempt-row"), "one");
}

/// Counts requests whose answer was not read and timers that are set, from now on.
const WATCH: &str = "window.busy = 0; window.timers = new Set();
    const { fetch, setTimeout, clearTimeout } = window;
    window.fetch = async (...call) => {
        busy += 1;
        try {
            const answer = await fetch(...call);
            const text = await answer.text();
            answer.text = async () => text;
            return answer;
        } finally {
            busy -= 1;
        }
    };
    window.setTimeout = (act, ...rest) => {
        const id = setTimeout(() => { timers.delete(id); act(); }, ...rest);
        timers.add(id);
        return id;
    };
    window.clearTimeout = (id) => { timers.delete(id); clearTimeout(id); };
    window.hide = (hidden) => {
        Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    };";

#[test]
fn a_hidden_page_asks_for_nothing_until_it_is_seen_again() {
    let receiver = Receiver::always(Reply::status(200));
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &[]) else {
        return;
    };
    let browser = &page.browser;
    browser.wait_for_text(&marked("target-row"), "audit");
    browser.script(WATCH, json!([]));
    for _ in 0..2 {
        // Between two polls, and during one.
        for moment in ["timers.size > 0 && busy === 0", "busy > 0"] {
            browser.wait_for(&format!("({moment}) && (hide(true), true)"));
            browser.wait_for("busy === 0 && timers.size === 0");
            browser.script("hide(false)", json!([]));
            browser.wait_for("busy > 0 || timers.size > 0");
        }
    }
    page.event("one", 1);
    page.admin.wait_for("audit", "delivered", 1);
    browser.click(&marked("target-link"), "audit");
    browser.wait_for_text(&marked("attempt-row"), "one");
    page.expect_no_errors();
}
