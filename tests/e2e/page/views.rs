//! Each view, as it is seen: light and dark, on a desk and on a phone.

use super::{Page, marked, target};
use serde_json::{Value, json};
use std::path::PathBuf;
use testkit::{Receiver, Reply, axe, repository, task_of};

/// The views: a name, an address, and what is seen once it is loaded.
const VIEWS: [(&str, &str, &str, &str); 9] = [
    ("overview", "overview", "target-row", "billing"),
    ("targets", "targets", "target-row", "search"),
    ("target", "targets/billing", "stuck-row", "nightly-7"),
    ("dead-letters", "dead-letters", "letter-row", "crawl-3"),
    ("task", "tasks/crawl-3", "task-target", "search"),
    ("no-task", "tasks", "nav-tasks", "Task"),
    ("config", "config", "config", "billing"),
    ("workers", "workers", "nav-workers", "Workers"),
    ("alerts", "alerts", "nav-alerts", "Alerts"),
];

/// Names of sizes: width, height, and whether it is a phone.
const SIZES: [(&str, u32, u32, bool); 2] =
    [("desktop", 1280, 800, false), ("phone", 360, 740, true)];

/// How many rules of axe-core the page passes, and what is serious or critical of the others.
const FINDINGS: &str = "return axe.run(document).then(({ passes, violations }) => ({
    passed: passes.length,
    serious: violations.filter(it => ['serious', 'critical'].includes(it.impact))
        .map(it => `${it.id}: ${it.nodes.map(it => `${it.html} ${it.failureSummary}`).join(' ')}`),
}))";

/// How much the content has moved without an action of the user: 0.1 is good, by Web Vitals.
const SHIFT: &str = "return new Promise(resolve => {
    let sum = 0;
    new PerformanceObserver(list => {
        for (const it of list.getEntries()) if (!it.hadRecentInput) sum += it.value;
    }).observe({ type: 'layout-shift', buffered: true });
    setTimeout(() => resolve(sum), 0);
})";

/// The page of a webhookd whose targets have different states.
fn scene(receivers: &[Receiver; 3]) -> Option<Page> {
    let [takes, fails, refuses] = receivers;
    let mut targets = vec![
        target("audit", &takes.url()),
        target("billing", &fails.url()),
        target("search", &refuses.url()),
        target("archive", &takes.url()),
    ];
    targets[1]["retry"] = json!({ "initialMsec": 60_000, "maxMsec": 60_000 });
    let page = Page::open(&targets, &[])?;
    let paused = page.admin.post("/api/v1/targets/archive/pause", "");
    paused.expect_status(204);
    for number in 0..12 {
        page.event(&format!("nightly-{number}"), number);
        page.event(&format!("crawl-{number}"), number);
    }
    page.admin.wait_for("audit", "delivered", 24);
    page.admin.wait_for("search", "deadHeld", 12);
    Some(page)
}

fn receivers() -> [Receiver; 3] {
    [
        Receiver::always(Reply::status(200)),
        Receiver::always(Reply::status(500).body("{\"error\": \"the database is being moved\"}")),
        // It refuses some alone: a target that refuses all is held.
        Receiver::start(
            |request| match task_of(&request.body).starts_with("crawl") {
                true => Reply::status(422).body("{\"error\": \"no such index\"}"),
                false => Reply::status(200),
            },
        ),
    ]
}

fn show(page: &Page, view: &(&str, &str, &str, &str)) {
    let (_, address, mark, text) = *view;
    page.go(address);
    page.browser.wait_for_text(&marked(mark), text);
    page.browser
        .wait_for("document.querySelector('#view .loading') === null");
}

/// `target/screenshots/NAME.png`.
fn picture(name: &str) -> PathBuf {
    let folder = repository("target/screenshots");
    std::fs::create_dir_all(&folder).expect("the target directory can be written to");
    folder.join(name).with_extension("png")
}

#[test]
fn each_view_fits_a_desk_and_a_phone_in_light_and_dark_and_has_no_serious_finding() {
    let receivers = receivers();
    let Some(page) = scene(&receivers) else {
        return;
    };
    let browser = &page.browser;
    let axe = axe();
    if let Err(why) = &axe {
        testkit::skip(&format!("axe-core did not look at the page, since {why}"));
    }
    let mut problems = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for (size, width, height, phone) in SIZES {
            browser.resize(width, height, phone);
            for view in &VIEWS {
                show(&page, view);
                let name = format!("{}-{size}-{scheme}", view.0);
                std::fs::write(picture(&name), browser.screenshot()).expect("it can be written");
                let overflow = "return document.documentElement.scrollWidth - innerWidth";
                let overflow = browser.script(overflow, json!([]));
                if overflow.as_i64() > Some(0) {
                    problems.push(format!("{name} is {overflow} pixels too wide"));
                }
                if let Ok(axe) = &axe {
                    browser.script(&format!("if (!window.axe) {{ {axe} }}"), json!([]));
                    let mut findings = browser.script(FINDINGS, json!([]));
                    assert!(findings["passed"].as_u64() > Some(5), "{findings}");
                    let findings = findings["serious"].take();
                    for finding in findings.as_array().expect("a list") {
                        problems.push(format!("{name}: {finding}"));
                    }
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_request_leaves_the_server_and_no_policy_is_violated() {
    let receivers = receivers();
    let Some(page) = scene(&receivers) else {
        return;
    };
    let browser = &page.browser;
    let mut requests = browser.requests();
    for view in &VIEWS {
        browser.open("about:blank");
        show(&page, view);
        let entries = "return performance.getEntriesByType('resource').map(it => it.name)";
        let Value::Array(loaded) = browser.script(entries, json!([])) else {
            panic!("entries are a list");
        };
        let loaded = loaded.iter().filter_map(Value::as_str).map(str::to_owned);
        requests.extend(loaded);
        requests.extend(browser.requests());
    }
    assert!(requests.len() > 50, "{requests:?}");
    let foreign = |url: &&String| !url.starts_with(page.admin.url()) && *url != "about:blank";
    let foreign: Vec<_> = requests.iter().filter(foreign).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    page.expect_no_errors();

    let policy = page.admin.ask("GET", "/", &["Accept: text/html"], "");
    let policy = policy
        .header("content-security-policy")
        .expect("it has one");
    for part in [
        "default-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    // It is in force: a script of an attribute does not run.
    let inline = "document.body.setAttribute('onclick', \"document.title = 'owned'\");
        document.body.click(); return document.title";
    let title = browser.script(inline, json!([]));
    assert!(!title.as_str().expect("text").contains("owned"), "{title}");
    // Nor does a request to another server.
    let other = "return fetch(arguments[0]).then(() => 'sent', () => 'refused')";
    assert_eq!(
        browser.script(other, json!([receivers[0].url()])),
        "refused"
    );
}

#[test]
fn nothing_moves_while_a_view_is_loaded() {
    let receivers = receivers();
    let Some(page) = scene(&receivers) else {
        return;
    };
    for view in &VIEWS {
        page.browser.open("about:blank");
        show(&page, view);
        let shift = page.browser.script(SHIFT, json!([]));
        assert!(
            shift.as_f64().expect("a number") < 0.1,
            "{}: {shift}",
            view.0
        );
    }
}
