//! The page that the admin API serves, in a real browser.

mod access;
mod addresses;
mod away;
mod config;
mod hostile;
mod kept;
mod keyboard;
mod recovery;
mod views;
mod workers;

use serde_json::{Value, json};
use testkit::{Admin, Browser, Folder, Launch, Process, event, post};

/// A webhookd and a browser that shows its page. They end in this order.
struct Page {
    browser: Browser,
    admin: Admin,
    /// Where it takes events.
    listens: String,
    process: Process,
    folder: Folder,
}

/// A target that is tried again soon, however it fails.
fn target(name: &str, url: &str) -> Value {
    json!({
        "name": name,
        "targetURL": url,
        "headers": { "Content-Type": "application/json" },
        "timeoutMsec": 30_000,
        "responseTimeoutMsec": 30_000,
        "retry": { "initialMsec": 10, "maxMsec": 200 },
        "breaker": { "maxMsec": 200 },
    })
}

impl Page {
    /// Starts both, and opens the page; `None` where there is no browser.
    fn open(targets: &[Value], options: &[&str]) -> Option<Page> {
        Page::open_on("0", targets, options)
    }

    /// The same, with the admin API on this port.
    fn open_on(port: &str, targets: &[Value], options: &[&str]) -> Option<Page> {
        let browser = Browser::start()?;
        let folder = Folder::new();
        folder.config(&json!({ "targets": targets }));
        let process = launch(&folder, port, options);
        let admin = Admin::of(&process);
        let listens = process.listens();
        browser.resize(1280, 800, false);
        browser.prefer("light");
        browser.open(admin.url());
        Some(Page {
            browser,
            admin,
            listens,
            process,
            folder,
        })
    }

    /// Sends an event of a task.
    fn event(&self, task: &str, number: usize) {
        // A task id may hold anything, which JSON writes in its own way.
        let quoted = Value::from(task).to_string();
        let event = event(&quoted[1..quoted.len() - 1], number);
        post(&self.listens, &["Content-Type: application/json"], event).expect_status(200);
    }

    /// Goes to a view by its address.
    fn go(&self, view: &str) {
        self.browser.open(&format!("{}#/{view}", self.admin.url()));
    }

    /// What is seen as it should be, and no error was written to the console.
    fn expect_no_errors(&self) {
        assert_eq!(self.browser.console(), [""; 0]);
    }
}

/// Starts webhookd with the configuration of a folder, and the admin API on this port.
fn launch(folder: &Folder, port: &str, options: &[&str]) -> Process {
    Launch::with_config(&folder.path().join("webhook.json"))
        .args(["--listen", "127.0.0.1:0", "--admin", port])
        .args(options)
        .spawn()
}

/// A selector of what the page marks for tests.
fn marked(name: &str) -> String {
    format!("[data-test={name}]")
}
