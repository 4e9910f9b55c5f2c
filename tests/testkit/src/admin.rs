//! The admin API of a running `webhookd`.

use crate::{Answer, Client, DEADLINE, Process};
use serde_json::Value;
use std::time::Instant;

/// The admin API of a running `webhookd`.
#[derive(Clone, Debug)]
pub struct Admin {
    url: String,
}

impl Admin {
    /// That of a process which was started with `--admin 0`.
    pub fn of(process: &Process) -> Admin {
        Admin {
            url: process.told_url("the admin API listens on "),
        }
    }

    /// Where it is: `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks, with these header lines besides `Host`, which they may replace.
    pub fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let host = self.url.trim_start_matches("http://").trim_end_matches('/');
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|line| line.starts_with("Host:")) {
            request.push_str(&format!("Host: {host}\r\n"));
        }
        for line in headers {
            request.push_str(&format!("{line}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        let mut client = Client::connect(&self.url).expect("it listens");
        // A body that is too large is answered before its end.
        drop(client.send(request));
        client.answer().expect("it is answered")
    }

    /// A JSON document.
    pub fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &[], "").expect_status(200).json()
    }

    /// A text.
    pub fn text(&self, path: &str) -> String {
        let answer = self.ask("GET", path, &[], "").expect_status(200);
        String::from_utf8(answer.body).expect("it is UTF-8")
    }

    /// Posts JSON, or nothing.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        let json = ["Content-Type: application/json"];
        let headers = if body.is_empty() { &[][..] } else { &json };
        self.ask("POST", path, headers, body)
    }

    /// Waits until a number of a target is this, by its name in `/api/v1/targets/{name}`'s `stats`.
    pub fn wait_for(&self, target: &str, figure: &str, count: u64) {
        let path = format!("/api/v1/targets/{target}");
        let until = Instant::now() + DEADLINE;
        loop {
            let stats = &self.get(&path)["stats"];
            if stats[figure].as_u64() == Some(count) {
                return;
            }
            assert!(Instant::now() < until, "{figure} of {target} in {stats}");
            std::thread::yield_now();
        }
    }
}
