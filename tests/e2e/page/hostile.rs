//! Task ids and answers that try to harm the page.

use super::{Page, marked, target};
use serde_json::json;
use testkit::{Receiver, Reply};

const SCRIPT: &str =
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";
/// An override that would have the rest of a line read from right to left, and a bell and an escape.
const HIDDEN: &str = "task-\u{202e}gnp.exe\u{7}\u{1b}[31m\u{200b}";
const ANSWER: &str =
    "<iframe src='javascript:top.document.title=\"owned\"'></iframe>\u{202e}\u{1b}[2J";

/// What is in the document that should not be.
const HARM: &str = r"return [
    document.querySelectorAll('img, iframe, object, main script').length,
    document.title === 'owned',
    /[\u0000-\u0008\u001b\u200b\u202a-\u202e\u2066-\u2069]/.test(document.documentElement.textContent),
    document.documentElement.scrollWidth > innerWidth + 1,
]";

#[test]
fn hostile_task_ids_and_answers_are_shown_as_text() {
    let receiver = Receiver::always(Reply::status(422).body(ANSWER));
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &[]) else {
        return;
    };
    let long = "0123456789".repeat(10_000);
    for task in [SCRIPT, HIDDEN, &long] {
        page.event(task, 1);
    }
    page.admin.wait_for("audit", "deadHeld", 3);
    let browser = &page.browser;
    let check = |view: &str| {
        let harm = browser.script(HARM, json!([]));
        assert_eq!(harm, json!([0, false, false, false]), "{view}");
    };
    for width in [1280, 360] {
        browser.resize(width, 740, width < 400);
        page.go("targets/audit");
        browser.wait_for_text(&marked("attempt-row"), "<img src=x");
        browser.wait_for_text(&marked("attempt-row"), "task-\\u{202e}gnp.exe");
        browser.wait_for_text(&marked("attempt-row"), "0123456789");
        browser.script(
            "for (const it of document.querySelectorAll('details')) it.open = true",
            json!([]),
        );
        browser.wait_for_text(&marked("answer"), "<iframe src=");
        check("target");
        page.go("dead-letters");
        for part in ["<img src=x", "task-\\u{202e}gnp.exe", "0123456789"] {
            browser.wait_for_text(&marked("letter-row"), part);
        }
        check("dead letters");
        for part in ["<img src=x", "task-", "0123456789"] {
            page.go("dead-letters");
            let row = format!("{} a[href*='#/tasks/']", marked("letter-row"));
            browser.click(&row, part);
            browser.wait_for_text("h1", part);
            browser.wait_for_text(&marked("task-summary"), "1 event is a dead letter");
            check(part);
            page.go("dead-letters");
            let row = format!(
                "{}:has(a[href*='#/tasks/{}'])",
                marked("letter-row"),
                encoded(part)
            );
            browser.click(&format!("{row} {}", marked("preview")), "");
            browser.wait_for_text(&marked("letter"), part);
            check(part);
        }
    }
}

/// The beginning of a task id as it is in an address.
fn encoded(part: &str) -> &str {
    if part.starts_with('<') {
        "%3Cimg"
    } else {
        part
    }
}
