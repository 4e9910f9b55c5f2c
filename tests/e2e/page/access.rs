//! Who may see and change what: tokens, and pages of other sites.

use super::{Page, marked, target};
use crate::tls::Authority;
use serde_json::{Value, json};
use testkit::{Browser, Folder, Receiver, Reply};

/// A folder with a token in a file.
fn token(name: &str, token: &str) -> (Folder, String) {
    let folder = Folder::new();
    let path = folder.write(name, format!("{token}\n"));
    (folder, path.display().to_string())
}

fn enter(browser: &Browser, token: &str) {
    browser.fill("#token", token);
    browser.click(&marked("token-submit"), "");
}

#[test]
fn the_token_is_asked_for_and_kept_in_the_session_of_the_tab_alone() {
    let receiver = Receiver::always(Reply::status(200));
    let (_folder, path) = token("token", "sesame-7");
    let options = ["--admin-token-file", &path];
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &options) else {
        return;
    };
    let browser = &page.browser;
    browser.wait_for_text(&marked("token-form"), "webhookd asks for a token");
    assert!(!browser.text().contains("audit"));
    enter(browser, "wrong");
    browser.wait_for_text(&marked("token-wrong"), "does not accept");
    enter(browser, "sesame-7");
    browser.wait_for_text(&marked("target-row"), "audit");
    let kept =
        "return [Object.values(sessionStorage), Object.values(localStorage), document.cookie]";
    let kept_now = browser.script(kept, json!([]));
    assert_eq!(kept_now, json!([["sesame-7"], [], ""]));
    assert!(
        !browser
            .script("return document.documentElement.outerHTML", json!([]))
            .to_string()
            .contains("sesame-7")
    );
    let requests = browser.requests();
    assert!(
        requests.iter().all(|url| !url.contains("sesame-7")),
        "{requests:?}"
    );

    browser.open(page.admin.url());
    browser.wait_for_text(&marked("target-row"), "audit");
    browser.click(&marked("forget-token"), "");
    browser.wait_for_text(&marked("token-form"), "Token");
    assert_eq!(browser.script(kept, json!([])), json!([[], [], ""]));
    assert!(!browser.text().contains("audit"));
}

#[test]
fn with_the_read_only_token_everything_is_seen_and_nothing_can_be_changed() {
    let receiver = Receiver::always(Reply::status(200));
    let (_folder, path) = token("token", "sesame-7");
    let (_other, readonly) = token("readonly", "look-8");
    let options = [
        "--admin-token-file",
        &path,
        "--admin-readonly-token-file",
        &readonly,
    ];
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &options) else {
        return;
    };
    let browser = &page.browser;
    enter(browser, "look-8");
    browser.wait_for_text(&marked("read-only"), "Read only");
    browser.click(&marked("target-link"), "audit");
    browser.wait_for("document.querySelector('[data-test=pause]')?.disabled");
    for button in ["restart", "send-test"] {
        let expression = format!("document.querySelector('[data-test={button}]').disabled");
        browser.wait_for(&expression);
    }
    // What is looked up by a POST can be looked up.
    browser.click(&marked("nav-tasks"), "");
    browser.fill("#search-text", "..");
    browser.press("\u{e007}");
    browser.wait_for_text("main", "Nothing is known of this task.");
    browser.click(&marked("nav-config"), "");
    browser.fill("#config-text", "{\"targets\": 7}");
    browser.click(&marked("validate-submit"), "Check");
    browser.wait_for_text(&marked("validate"), "targets");
    let refused = browser.script(
        "return fetch('/api/v1/targets/audit/pause', { method: 'POST', headers: \
         { Authorization: 'Bearer ' + Object.values(sessionStorage)[0] } }).then(it => it.status)",
        json!([]),
    );
    assert_eq!(refused, 403);
}

#[test]
fn the_page_of_another_origin_changes_nothing() {
    let receiver = Receiver::always(Reply::status(200));
    let html = Reply::status(200).header("Content-Type", "text/html");
    let other = Receiver::always(html.body("<!doctype html><title>another</title>"));
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &[]) else {
        return;
    };
    let browser = &page.browser;
    let pause = format!("{}api/v1/targets/audit/pause", page.admin.url());
    // Another port of the same address, and another site.
    for origin in [other.url(), other.url().replace("127.0.0.1", "localhost")] {
        browser.open(&origin);
        browser.console();
        let sent = "return fetch(arguments[0], { method: 'POST', mode: 'no-cors' }).then(it => it.type, () => 'kept from the page')";
        assert_eq!(browser.script(sent, json!([pause])), "kept from the page");
        browser.script(
            "const form = document.createElement('form'); form.method = 'POST'; \
             form.action = arguments[0]; document.body.append(form); form.submit()",
            json!([pause]),
        );
        browser.wait_for_text("body", "Forbidden");
        let console = browser.console();
        let refused = console
            .iter()
            .filter(|line| line.contains("403 (Forbidden)"));
        assert!(refused.count() >= 1, "{console:?}");
    }
    assert_eq!(page.admin.get("/api/v1/targets/audit")["paused"], false);
}

#[test]
fn the_page_of_another_origin_cannot_frame_it() {
    let receiver = Receiver::always(Reply::status(200));
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &[]) else {
        return;
    };
    let browser = &page.browser;
    browser.wait_for_text(&marked("target-row"), "audit");
    let framing = format!(
        "<!doctype html><title>another</title><iframe src=\"{}\" onload=\"document.title = 'loaded'\">",
        page.admin.url()
    );
    let html = Reply::status(200).header("Content-Type", "text/html");
    let other = Receiver::always(html.body(framing));
    browser.console();
    browser.open(&other.url());
    browser.wait_for("document.title === 'loaded'");
    let tree = browser.devtools("Page.getFrameTree", json!({}));
    let frame = &tree["frameTree"]["childFrames"][0]["frame"];
    assert_eq!(frame["unreachableUrl"], page.admin.url(), "{tree}");
    let console = browser.console();
    let is_refused = |line: &String| line.contains("frame-ancestors 'none'");
    assert!(console.iter().any(is_refused), "{console:?}");
}

#[test]
fn the_page_is_served_over_tls() {
    let receiver = Receiver::always(Reply::status(200));
    let authority = Authority::new();
    authority.issue_for_hosts("server", &["127.0.0.1"]);
    let (certificate, key) = (
        authority.path("server.pem"),
        authority.path("server-key.pem"),
    );
    let options = ["--admin-tls-cert", &certificate, "--admin-tls-key", &key];
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &options) else {
        return;
    };
    let browser = &page.browser;
    assert!(browser.location().starts_with("https://127.0.0.1:"));
    page.event("one", 1);
    browser.click(&marked("target-link"), "audit");
    browser.wait_for_text(&marked("attempt-row"), "one");
    browser.click(&marked("pause"), "Pause");
    browser.click(&marked("dialog-confirm"), "Pause");
    browser.wait_for_text(&marked("state"), "Paused");
    let insecure = "return performance.getEntriesByType('resource')
        .map(it => it.name).filter(it => !it.startsWith('https:'))";
    assert_eq!(
        browser.script(insecure, json!([])),
        Value::from([""; 0].to_vec())
    );
    page.expect_no_errors();
}
