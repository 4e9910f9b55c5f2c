//! The views that say what is wrong with webhookd itself: its configuration, and its alerts.

use super::{Page, marked, target};
use serde_json::{Value, json};
use testkit::{Receiver, Reply};

/// A file with two errors, in its lines 4 and 7.
const BAD: &str = r#"{
  "targets": [{
    "name": "audit",
    "targetURL": "ftp://audit.example.com/",
    "headers": {},
    "timeoutMsec": 1000,
    "retri": {}
  }]
}"#;

/// Of each problem that is shown: the number and the text of the line above it, and where in it the
/// mark points.
const PLACES: &str = "return [...document.querySelectorAll('[data-test=diagnostic]')].map(it => {
    let line = it.previousElementSibling;
    while (line.dataset.test) line = line.previousElementSibling;
    const [number, code] = line.children;
    return [number.textContent, code.textContent.slice(it.querySelector('pre').textContent.indexOf('^'))];
})";

#[test]
fn a_text_is_checked_and_each_problem_is_shown_at_its_place() {
    let receiver = Receiver::always(Reply::status(200));
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &[]) else {
        return;
    };
    let browser = &page.browser;
    page.go("config");
    browser.fill("#config-text", BAD);
    browser.click(&marked("validate-submit"), "Check");
    browser.wait_for_text(&marked("validate-result"), "not valid: 2 errors");
    browser.wait_for_text(&marked("diagnostic"), "retri");
    assert_eq!(
        browser.script(PLACES, json!([])),
        json!([
            ["4", "\"ftp://audit.example.com/\","],
            ["7", "\"retri\": {}"]
        ])
    );
    // What was typed stays, also after the next poll.
    browser.wait_for("document.getElementById('config-text').value.includes('retri')");
    let good = json!({ "targets": [target("audit", &receiver.url())] });
    browser.fill("#config-text", &good.to_string());
    browser.click(&marked("validate-submit"), "Check");
    browser.wait_for_text(&marked("validate-result"), "The file is valid");
    browser.wait_until_gone(&marked("diagnostic"), "");
    page.expect_no_errors();
}

#[test]
fn the_file_is_reloaded_with_what_changed_or_what_is_wrong_with_it() {
    let receiver = Receiver::always(Reply::status(200));
    let targets = ["audit", "archive"].map(|name| target(name, &receiver.url()));
    let Some(page) = Page::open(&targets[..1], &[]) else {
        return;
    };
    let browser = &page.browser;
    let reload = || {
        browser.click(&marked("reload"), "Reload");
        browser.wait_for_text(
            &marked("dialog-question"),
            "webhook.json and put it in force?",
        );
        browser.click(&marked("dialog-confirm"), "Reload");
    };
    page.go("config");
    browser.wait_for_text(&marked("config"), "audit");
    page.folder.write("webhook.json", BAD);
    reload();
    browser.wait_for_text(&marked("dialog-error"), "It failed");
    browser.click(&marked("dialog-close"), "Close");
    let result = marked("reload-result");
    browser.wait_for_text(&result, "nothing was changed");
    browser.wait_for_text(&format!("{result} li"), "4:18 error");
    browser.wait_for_text(&format!("{result} li"), "7:5 error");
    browser.wait_for_text(&marked("last-reload"), "failed");

    // The alert of it holds, and says what to do.
    browser.click(&marked("nav-alerts"), "1");
    browser.wait_for_text(&marked("alert-row"), "WebhookdReloadFailed");
    browser.click(&marked("runbook-link"), "Show what to do");
    browser.wait_for_text(
        &marked("runbook"),
        "The previous configuration stays in force",
    );
    browser.wait_for_text(&format!("{} code", marked("runbook")), "webhookd check");

    page.folder.config(&json!({ "targets": targets }));
    page.go("config");
    reload();
    browser.wait_for_text(&marked("dialog-result"), "in force");
    browser.click(&marked("dialog-close"), "Close");
    browser.wait_for_text(&result, "Targets added: archive");
    browser.wait_for_text(&marked("last-reload"), "Reloaded");
    browser.wait_for_text(&marked("config"), "archive");
    page.go("alerts");
    browser.wait_for_text(&marked("empty"), "No alert holds.");
    browser.wait_until_gone(&format!("{} .number", marked("nav-alerts")), "");
    let shown: Value = page.admin.get("/api/v1/targets");
    assert_eq!(shown["targets"].as_array().map(Vec::len), Some(2));
}
