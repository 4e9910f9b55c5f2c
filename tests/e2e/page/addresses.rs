//! Addresses of views: what is sent to a colleague shows the same there.

use super::{Page, marked, target};
use serde_json::{Value, json};
use testkit::{Receiver, Reply, task_of};

/// The addresses, each with a field that has the filter and what is seen of it alone.
const ADDRESSES: [(&str, &str, &str, &str, &str); 6] = [
    (
        "dead-letters?target=audit&task=bad-2",
        "[data-test=filter-task]",
        "bad-2",
        "[data-test=letter-row]",
        "bad-2",
    ),
    (
        "targets?name=aud",
        "[data-test=filter-name]",
        "aud",
        "[data-test=target-row]",
        "audit",
    ),
    (
        "targets/audit?outcome=failed",
        "[data-test=attempts-failed][aria-current=true]",
        "Failed",
        "[data-test=attempt-row]",
        "bad-",
    ),
    (
        "targets/audit?key=good-1",
        "[data-test=last-attempts]",
        "Of task good-1",
        "[data-test=attempt-row]",
        "good-1",
    ),
    (
        "tasks/bad-2",
        "h1",
        "Task bad-2",
        "[data-test=timeline-dead]",
        "Dead letter",
    ),
    (
        "config",
        "[data-test=nav-config][aria-current=page]",
        "Configuration",
        "[data-test=config]",
        "targets",
    ),
];

#[test]
fn an_address_opens_the_same_view_and_filter_after_a_reload() {
    let refuses = Receiver::start(|request| match task_of(&request.body).starts_with("bad") {
        true => Reply::status(422),
        false => Reply::status(200),
    });
    let takes = Receiver::always(Reply::status(200));
    let targets = [
        target("audit", &refuses.url()),
        target("other", &takes.url()),
    ];
    let Some(page) = Page::open(&targets, &[]) else {
        return;
    };
    let browser = &page.browser;
    for task in ["good-1", "bad-1", "bad-2"] {
        page.event(task, 1);
    }
    page.admin.wait_for("audit", "deadHeld", 2);
    page.admin.wait_for("audit", "delivered", 1);
    for (address, field, filter, rows, row) in ADDRESSES {
        page.go(address);
        for _ in 0..2 {
            browser.wait_for_text(field, filter);
            browser.wait_for_text(rows, row);
            let others = "return [...document.querySelectorAll(arguments[0])]
                .filter(it => !it.textContent.includes(arguments[1])).length";
            assert_eq!(browser.script(others, json!([rows, row])), 0, "{address}");
            assert!(browser.location().ends_with(&format!("#/{address}")));
            browser.open("about:blank");
            page.go(address);
        }
    }
    page.expect_no_errors();
}

#[test]
fn dead_letters_are_filtered_by_the_time_at_which_they_were_given_up() {
    let receiver = Receiver::always(Reply::status(422));
    let Some(page) = Page::open(&[target("audit", &receiver.url())], &[]) else {
        return;
    };
    let browser = &page.browser;
    for number in 1..=3 {
        page.event(&format!("task-{number}"), 1);
        page.admin.wait_for("audit", "deadHeld", number);
    }
    let listed = page.admin.get("/api/v1/dead-letters")["deadLetters"].take();
    let listed = listed.as_array().expect("a list");
    let died_at = |letter: &Value| letter["diedAt"].as_u64().expect("a time");
    let middle = died_at(&listed[1]);
    let moment = browser.script(
        "return new Date(arguments[0]).toISOString()",
        json!([middle]),
    );
    let moment = moment.as_str().expect("text");
    let row = marked("letter-row");
    for (field, other, is_shown) in [
        (
            "since",
            "until",
            &(|at| at >= middle) as &dyn Fn(u64) -> bool,
        ),
        ("until", "since", &|at| at < middle),
    ] {
        page.go("dead-letters");
        browser.wait_for(&format!("document.querySelectorAll('{row}').length === 3"));
        browser.fill(&marked(&format!("filter-{field}")), moment);
        browser.click(&marked("filter-apply"), "");
        let shown = listed.iter().filter(|it| is_shown(died_at(it))).count();
        browser.wait_for(&format!(
            "document.querySelectorAll('{row}').length === {shown}"
        ));
        browser.wait_for_text(&marked("replay-all"), "all that match");
        // Nothing is both before and since one moment.
        browser.fill(&marked(&format!("filter-{other}")), moment);
        browser.click(&marked("filter-apply"), "");
        browser.wait_for_text(&marked("empty"), "No dead letter matches: given up since");
    }
    browser.fill(&marked("filter-since"), "yesterday");
    browser.click(&marked("filter-apply"), "");
    browser.wait_for_text(&marked("failure"), "yesterday");
}
