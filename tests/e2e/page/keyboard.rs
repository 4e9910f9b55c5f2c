//! The page without a mouse.

use super::{Page, marked, target};
use serde_json::json;
use testkit::{Receiver, Reply};

const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const TAB: &str = "\u{e004}";

#[test]
fn every_view_and_the_search_are_reached_by_keys() {
    let receiver = Receiver::always(Reply::status(200));
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &[]) else {
        return;
    };
    let browser = &page.browser;
    browser.wait_for_text(&marked("target-row"), "audit");
    // The keys of a sequence are pressed within a second and a half, also on a slow machine.
    let stop_clock = "const now = performance.now(); performance.now = () => now";
    browser.script(stop_clock, json!([]));
    for (keys, view) in [
        ("gt", "targets"),
        ("gd", "dead-letters"),
        ("gc", "config"),
        ("gw", "workers"),
        ("ga", "alerts"),
        ("gk", "tasks"),
        ("go", "overview"),
    ] {
        browser.press(keys);
        browser.wait_for(&format!("location.hash.startsWith('#/{view}')"));
        let current = format!("{}[aria-current=page]", marked(&format!("nav-{view}")));
        browser.wait_for_text(&current, "");
    }
    browser.press("/");
    browser.wait_for("document.activeElement.id === 'search-text'");
    // Keys that are typed are no commands.
    browser.press("gt-1");
    browser.press(ENTER);
    browser.wait_for("location.hash === '#/tasks/gt-1'");
    browser.script("document.activeElement.blur()", json!([]));
    browser.press("?");
    browser.wait_for_text("dialog", "Find a task");
    browser.press(ESCAPE);
    browser.wait_until_gone("dialog", "");
    page.expect_no_errors();
}

#[test]
fn tab_goes_through_the_page_and_the_focus_survives_its_updates() {
    let receiver = Receiver::always(Reply::status(200));
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &[]) else {
        return;
    };
    let browser = &page.browser;
    browser.wait_for_text(&marked("target-row"), "audit");
    browser.press(TAB);
    browser.wait_for("document.activeElement.className === 'skip'");
    browser.press(ENTER);
    browser.press(TAB);
    browser.wait_for("document.getElementById('view').contains(document.activeElement)");
    browser.script(
        "document.querySelector('[data-test=target-link]').focus()",
        json!([]),
    );
    browser.script("performance.setResourceTimingBufferSize(100000)", json!([]));
    // It is drawn again, after the next poll.
    page.event("one", 1);
    page.admin.wait_for("audit", "delivered", 1);
    let polls =
        "performance.getEntriesByType('resource').filter(it => it.name.endsWith('/status')).length";
    let before = browser.wait_for(polls);
    browser.wait_for(&format!("{polls} > {before} + 1"));
    browser.wait_for("document.activeElement.dataset.test === 'target-link'");
    browser.press(ENTER);
    browser.wait_for_text("h1", "Target audit");
    browser.wait_for("document.activeElement.id === 'view'");
    page.expect_no_errors();
}
