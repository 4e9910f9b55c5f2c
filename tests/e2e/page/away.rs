//! A webhookd that ends while its page is open.

use super::{Page, launch, marked, target};
use testkit::{Receiver, Reply, Signal, free_port};

#[test]
fn the_page_says_since_when_webhookd_is_away_and_goes_on_once_it_is_back() {
    let receiver = Receiver::always(Reply::status(200));
    // A later start listens on the same port.
    let port = free_port().to_string();
    let Some(mut page) = Page::open_on(&port, &[target("audit", &receiver.url())], &[]) else {
        return;
    };
    page.browser.wait_for_text(&marked("target-row"), "audit");
    page.process.signal(Signal::TERM);
    let away = marked("away");
    page.browser
        .wait_for_text(&away, "webhookd has not answered since");
    // What was seen last stays.
    page.browser.wait_for_text(&marked("target-row"), "audit");
    page.process = launch(&page.folder, &port, &[]);
    page.browser.wait_until_gone(&away, "");
    page.browser.wait_for_text(&marked("message"), "restarted");
    page.listens = page.process.listens();
    page.event("one", 1);
    page.browser.click(&marked("target-link"), "audit");
    page.browser.wait_for_text(&marked("attempt-row"), "one");
}
