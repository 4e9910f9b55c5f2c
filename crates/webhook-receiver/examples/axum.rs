//! A whole receiver: verifies each request, stores its events, and answers.
//!
//! `cargo run -p webhook-receiver --example axum -- SECRET_FILE STORE`
//!
//! SECRET_FILE holds one `whsec_…` or more, STORE gets a line of JSON for each event. Put your database in
//! the place of [`Store`].

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing::post};
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use webhook_receiver::{
    Begin, DEFAULT_MAX_BODY_BYTES, Format, RecentIds, RequestHeaders, Secret, Verifier, events,
};

/// Two days: the sender's `retry.maxAgeMsec` is one.
const REMEMBER: Duration = Duration::from_secs(2 * 24 * 3600);
/// What is remembered at most; some 150 MB.
const MAX_IDS: usize = 1_000_000;

struct Receiver {
    verifier: Verifier,
    recent: RecentIds,
    store: Mutex<Store>,
}

impl Receiver {
    /// Handles a request; an error is an answer that makes the sender try again or give up.
    fn receive(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), (u16, String)> {
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()));
        let headers = RequestHeaders::from_pairs(pairs);
        self.verifier
            .verify(&headers, body, SystemTime::now())
            .map_err(|error| (error.status(), error.to_string()))?;
        let events = events(Format::detect(&headers), &headers, body)
            .map_err(|error| (error.status(), error.to_string()))?;
        let mut claims = Vec::new();
        let mut lines = Vec::new();
        for event in &events {
            match self.recent.begin(event.id(), Instant::now()) {
                Begin::New(claim) => claims.push(claim),
                Begin::Seen => continue,
                Begin::InProgress => {
                    return Err((409, format!("{} is being stored", event.id())));
                }
            }
            let text = String::from_utf8_lossy(event.body());
            let line = serde_json::json!({ "id": event.id(), "body": text });
            lines.extend_from_slice(format!("{line}\n").as_bytes());
        }
        let mut store = self.store.lock().expect("no holder panics");
        store
            .append(&lines)
            .map_err(|error| (503, format!("cannot store: {error}")))?;
        for claim in claims {
            if let Some(forgotten) = claim.commit(Instant::now()) {
                log(&format!(
                    "{} is forgotten after {:?}",
                    forgotten.id, forgotten.after
                ));
            }
        }
        Ok(())
    }
}

/// A file with a line for each event.
struct Store {
    file: File,
    length: u64,
}

impl Store {
    /// Opens the file and cuts off a line that a crash left unfinished. Returns the ids that it has.
    fn open(path: &str) -> std::io::Result<(Store, Vec<String>)> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(path)?;
        let mut reader = BufReader::new(&file);
        let (mut ids, mut length, mut line) = (Vec::new(), 0, String::new());
        while reader.read_line(&mut line)? > 0 && line.ends_with('\n') {
            let stored: serde_json::Value = serde_json::from_str(&line)?;
            ids.extend(stored["id"].as_str().map(str::to_owned));
            length += line.len() as u64;
            line.clear();
        }
        file.set_len(length)?;
        Ok((Store { file, length }, ids))
    }

    /// Stores the lines, all or none, and returns once they are on disk.
    fn append(&mut self, lines: &[u8]) -> std::io::Result<()> {
        let stored = self
            .file
            .write_all(lines)
            .and_then(|()| self.file.sync_data());
        match stored {
            Ok(()) => self.length += lines.len() as u64,
            Err(_) => self.file.set_len(self.length)?,
        }
        stored
    }
}

fn log(text: &str) {
    // A closed standard error does not stop the receiver.
    drop(writeln!(std::io::stderr(), "{text}"));
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    // Storing blocks.
    let handled = tokio::task::spawn_blocking(move || receiver.receive(&headers, &body)).await;
    match handled {
        Ok(Ok(())) => (StatusCode::NO_CONTENT, String::new()),
        Ok(Err((status, why))) => {
            log(&format!("{status}: {why}"));
            let status = StatusCode::from_u16(status).expect("a status of the crate is valid");
            (status, format!("{why}\n"))
        }
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, secrets, store] = &args[..] else {
        return Err("usage: axum SECRET_FILE STORE".into());
    };
    let secrets = std::fs::read_to_string(secrets)?;
    let secrets: Vec<Secret> = secrets
        .split_whitespace()
        .map(Secret::parse)
        .collect::<Result<_, _>>()?;
    let (store, ids) = Store::open(store)?;
    let recent = RecentIds::new(MAX_IDS, REMEMBER);
    for id in ids {
        if let Begin::New(claim) = recent.begin(&id, Instant::now()) {
            claim.commit(Instant::now());
        }
    }
    let receiver = Arc::new(Receiver {
        verifier: Verifier::new(secrets),
        recent,
        store: Mutex::new(store),
    });
    let app = Router::new()
        .route("/", post(receive))
        .layer(DefaultBodyLimit::max(DEFAULT_MAX_BODY_BYTES))
        .with_state(receiver);
    let port = std::env::var("PORT").unwrap_or_else(|_| "0".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    log(&format!("listening on http://{}/", listener.local_addr()?));
    axum::serve(listener, app).await?;
    Ok(())
}
