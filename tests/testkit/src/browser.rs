//! A browser for a test: Chromium without a window, driven by the WebDriver protocol of the W3C.
//!
//! The clients of that protocol on crates.io are asynchronous; the requests of these tests are few,
//! and [`Client`] sends them.

use crate::packages::skip;
use crate::{Client, DEADLINE, Folder, Launch, Process, Signal};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Keeps Chromium from what needs a display, a sandbox (which root cannot have) or other machines,
/// and ends it with the driver, whose end closes the pipe.
const OPTIONS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-default-apps",
    "--no-first-run",
    "--lang=en-US",
    "--remote-debugging-pipe",
];

/// The member by which the protocol marks a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Errors of the protocol that say that the page has changed, or will.
const PASSING: [&str; 5] = [
    "element click intercepted",
    "element not interactable",
    "no such element",
    "stale element reference",
    // A script that was running while the page went away.
    "unknown error",
];

/// The first visible element that a selector matches and whose text, or value, has a part.
const FIND: &str = "return [...document.querySelectorAll(arguments[0])].find(element =>
    element.checkVisibility() &&
    (element.textContent + (element.value ?? '')).includes(arguments[1])) ?? null";

/// Between two looks at the page.
const PAUSE: Duration = Duration::from_millis(20);

/// A browser of its own for a test, with an empty profile. Dropping it ends it.
///
/// Every method waits for what it needs, and panics with the text of the page when that does not
/// come in time.
#[derive(Debug)]
pub struct Browser {
    /// `/session/ID`.
    session: String,
    url: String,
    /// Ends the driver, and so the browser, if this process ends without a chance to do so.
    _guard: Process,
    _driver: Process,
    /// Dropped after the driver.
    _folder: Folder,
}

impl Browser {
    /// Starts one. `None`, and a line on standard error, where there is none.
    ///
    /// # Panics
    ///
    /// If Chromium or its driver is not installed and `CI` is set in the environment.
    pub fn start() -> Option<Browser> {
        let (Some(chromium), Some(driver)) = (program("chromium"), program("chromedriver")) else {
            skip("chromium and chromedriver (Debian: chromium-driver) are not installed");
            return None;
        };
        let folder = Folder::new();
        let home = folder.path().to_str().expect("a temporary path is text");
        let profile = format!("--user-data-dir={home}/profile");
        let (driver, port) = start(&driver, home);
        let script = "trap '' TERM INT; read _; kill -KILL $0";
        let guard = Launch::of("sh").args(["-c", script, &driver.id().to_string()]);
        let mut browser = Browser {
            session: String::new(),
            url: format!("http://127.0.0.1:{port}/"),
            _guard: guard.spawn(),
            _driver: driver,
            _folder: folder,
        };
        let options: Vec<&str> = OPTIONS.into_iter().chain([&*profile]).collect();
        let capabilities = json!({
            // The authorities of tests are known to no browser.
            "acceptInsecureCerts": true,
            "goog:chromeOptions": { "binary": chromium, "args": options },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let asked = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let session = browser.ask("POST", "/session", &asked);
        let session = session.unwrap_or_else(|error| panic!("Chromium does not start: {error}"));
        let id = session["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("/session/{id}");
        // The page that it begins with has requested much.
        browser.open("about:blank");
        browser.requests();
        Some(browser)
    }

    /// Opens a URL and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.expect("url", &json!({ "url": url }));
    }

    /// The URL of the page.
    pub fn location(&self) -> String {
        let location = self.script("return location.href", json!([]));
        location.as_str().expect("a URL is text").to_owned()
    }

    /// Runs the body of a function in the page with these arguments, and returns what it returns;
    /// if that is a promise, what it resolves to.
    pub fn script(&self, script: &str, arguments: Value) -> Value {
        self.expect(
            "execute/sync",
            &json!({ "script": script, "args": arguments }),
        )
    }

    /// Waits until an expression of JavaScript is true in the page, and returns its value.
    pub fn wait_for(&self, expression: &str) -> Value {
        let body = json!({ "script": format!("return {expression}"), "args": [] });
        self.until(expression, || {
            let value = self.command("execute/sync", &body)?;
            let is_false = [json!(null), json!(false), json!(0), json!("")].contains(&value);
            Ok((!is_false).then_some(value))
        })
    }

    /// Waits until a visible element that a selector matches has this part in its text.
    pub fn wait_for_text(&self, selector: &str, part: &str) {
        self.element(selector, part, |_| Ok(()));
    }

    /// Waits until no visible element that a selector matches has this part in its text.
    pub fn wait_until_gone(&self, selector: &str, part: &str) {
        let body = json!({ "script": FIND, "args": [selector, part] });
        self.until(&format!("the end of {part:?} in {selector}"), || {
            let found = self.command("execute/sync", &body)?;
            Ok(found.is_null().then_some(()))
        });
    }

    /// The text of the page that can be seen.
    pub fn text(&self) -> String {
        let text = self.script("return document.body.innerText", json!([]));
        text.as_str().expect("a page has a text").to_owned()
    }

    /// Clicks on the first visible element that a selector matches and whose text has this part.
    pub fn click(&self, selector: &str, part: &str) {
        self.element(selector, part, |element| {
            self.command(&format!("element/{element}/click"), &json!({}))
        });
    }

    /// Replaces the text of a field by this one, key by key.
    pub fn fill(&self, selector: &str, text: &str) {
        self.element(selector, "", |element| {
            self.command(&format!("element/{element}/clear"), &json!({}))?;
            self.command(
                &format!("element/{element}/value"),
                &json!({ "text": text }),
            )
        });
    }

    /// Presses keys one after the other, wherever the focus is. Those without a character have the
    /// code points of the protocol: `\u{e007}` is Enter, `\u{e004}` Tab, `\u{e00c}` Escape.
    pub fn press(&self, keys: &str) {
        let press = |key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key }));
        let actions: Vec<Value> = keys.chars().flat_map(press).collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.expect("actions", &json!({ "actions": [keyboard] }));
    }

    /// Gives the page this size in pixels, on a phone's screen or not.
    pub fn resize(&self, width: u32, height: u32, phone: bool) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone }),
        );
    }

    /// Tells the page that the user prefers `light` or `dark`, and no motion.
    pub fn prefer(&self, scheme: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    /// What can be seen of the page, as a PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        let image = self.devtools("Page.captureScreenshot", json!({ "format": "png" }));
        let data = image["data"].as_str().expect("an image has data");
        STANDARD.decode(data).expect("it is in base64")
    }

    /// The URLs that the browser has requested since the last call, with those that it was not
    /// allowed to request.
    pub fn requests(&self) -> Vec<String> {
        let log = self.log("performance");
        let events = log.iter().map(|entry| {
            let text = entry["message"].as_str().expect("an entry has a message");
            serde_json::from_str::<Value>(text).expect("an event of DevTools is JSON")
        });
        let sent = events.filter(|it| it["message"]["method"] == "Network.requestWillBeSent");
        sent.map(|it| it["message"]["params"]["request"]["url"].to_string())
            .map(|url| url.trim_matches('"').to_owned())
            .collect()
    }

    /// What the page and the browser have written to the console since the last call: errors of
    /// scripts, requests that failed, violations of the content security policy.
    pub fn console(&self) -> Vec<String> {
        let log = self.log("browser").into_iter();
        log.map(|entry| entry["message"].to_string()).collect()
    }

    /// Sends a command of the Chrome DevTools protocol.
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.expect("goog/cdp/execute", &body)
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.expect("se/log", &json!({ "type": kind }));
        log.as_array().expect("a log has entries").clone()
    }

    /// Does something with an element, as soon as there is one and it can be done.
    fn element<T>(&self, selector: &str, part: &str, act: impl Fn(&str) -> Result<T, String>) -> T {
        let body = json!({ "script": FIND, "args": [selector, part] });
        self.until(&format!("{part:?} in {selector}"), || {
            let found = self.command("execute/sync", &body)?;
            found[ELEMENT].as_str().map(&act).transpose()
        })
    }

    /// Looks until there is something. Errors that may pass are waited for, too.
    fn until<T>(&self, what: &str, look: impl Fn() -> Result<Option<T>, String>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let error = match look() {
                Ok(Some(found)) => return found,
                Ok(None) => String::new(),
                Err(error) if PASSING.iter().any(|it| error.starts_with(it)) => error,
                Err(error) => panic!("{what}: {error}"),
            };
            if Instant::now() > deadline {
                let console = self.console().join("\n");
                let (at, text) = (self.location(), self.text());
                panic!("waited in vain for {what} at {at}; {error}\n{console}\n{text:.4000}");
            }
            std::thread::park_timeout(PAUSE);
        }
    }

    fn expect(&self, command: &str, body: &Value) -> Value {
        self.command(command, body)
            .unwrap_or_else(|error| panic!("{command} {:.400}: {error}", body.to_string()))
    }

    fn command(&self, command: &str, body: &Value) -> Result<Value, String> {
        self.ask("POST", &format!("{}/{command}", self.session), body)
    }

    /// A command of the protocol; the `error: message` that answers it.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = body.to_string();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length:");
        let request = format!("{head} {}\r\n\r\n{body}", body.len());
        let answer = Client::connect(&self.url).and_then(|mut client| {
            client.send(request)?;
            client.answer()
        });
        let answer = answer.map_err(|error| format!("the driver does not answer: {error}"))?;
        let value = answer.json()["value"].take();
        if answer.status == 200 {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Err(format!("{}: {}", text("error"), text("message")))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends with the driver anyway; so it ends before its folder is removed.
        drop(self.ask("DELETE", &self.session, &json!({})));
    }
}

/// A program of the path.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(name));
    found.find(|program| program.is_file())
}

/// Starts the driver; its port. It may choose one that is free for IPv6 alone, and ends then.
fn start(driver: &Path, home: &str) -> (Process, u16) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let driver = Launch::of(driver).arg("--port=0").env("HOME", home);
        let driver = driver.spawn();
        let seen = driver.progress.wait(DEADLINE, |seen| {
            port(&seen.stdout).is_some() || seen.status.is_some()
        });
        let port = port(&seen.stdout);
        drop(seen);
        if let Some(port) = port {
            return (driver, port);
        }
        driver.signal(Signal::KILL);
        let said = String::from_utf8_lossy(&driver.wait().stdout).into_owned();
        let is_passing = said.contains("port not available") && Instant::now() < deadline;
        assert!(is_passing, "chromedriver does not start: {said}");
    }
}

/// The port that the driver tells.
fn port(said: &[u8]) -> Option<u16> {
    let said = std::str::from_utf8(said).ok()?;
    let (_, after) = said.split_once("started successfully on port ")?;
    after.split_once('.')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Receiver, Reply};

    #[test]
    fn a_page_is_loaded_typed_into_clicked_and_seen() {
        let page = "<!doctype html><title>T</title><meta name=viewport content=\"width=device-width\"><input id=in><button>Copy</button><p></p><script>
            document.querySelector('button').onclick = () =>
                setTimeout(() => document.querySelector('p').textContent =
                    document.querySelector('input').value + (matchMedia('(prefers-color-scheme: dark)').matches ? ' dark' : ''), 50);
            onkeydown = (event) => { if (event.key === '/') document.title = 'slash'; };</script>";
        let reply = Reply::status(200).header("Content-Type", "text/html");
        let server = Receiver::always(reply.body(page));
        let Some(browser) = Browser::start() else {
            return;
        };
        browser.resize(360, 740, true);
        browser.prefer("dark");
        browser.open(&server.url());
        browser.fill("input", "hello");
        browser.click("button", "Copy");
        browser.wait_for_text("p", "hello dark");
        assert!(browser.text().contains("hello dark"));
        browser.script("document.activeElement.blur()", json!([]));
        browser.press("/");
        browser.wait_for("document.title === 'slash'");
        browser.click("button", "");
        browser.wait_until_gone("p", "nothing");
        assert_eq!(browser.script("return innerWidth", json!([])), 360);
        assert_eq!(&browser.screenshot()[1..4], b"PNG");
        let requests = browser.requests();
        assert!(requests.contains(&server.url()), "{requests:?}");
        let favicon = format!("{}favicon.ico", server.url());
        let is_ours = |url: &String| *url == server.url() || *url == favicon;
        assert!(requests.iter().all(is_ours), "{requests:?}");
        assert_eq!(browser.console(), [""; 0]);
        assert_eq!(browser.location(), server.url());
    }
}
