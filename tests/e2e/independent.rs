//! A receiver that shares no code with us: Python's `http.server`.

use crate::deliver::{check_arrived, now_ms, sample};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use testkit::{Folder, Launch, events, events_file};

/// Prints its port; then, once its standard input ends, a JSON line for each request: path,
/// headers as pairs, and the body in hex.
const SERVER: &str = r#"
import http.server, json, sys, threading
seen = []
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        seen.append({"path": self.path, "headers": list(self.headers.items()), "body": body.hex()})
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
for request in seen:
    print(json.dumps(request))
"#;

fn start() -> Option<Child> {
    let mut python = Command::new("python3");
    python
        .args(["-c", SERVER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    match python.spawn() {
        Ok(child) => Some(child),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("python3 does not start: {error}"),
    }
}

#[test]
fn pythons_http_server_receives_each_line_byte_for_byte() {
    let Some(mut python) = start() else {
        eprintln!("SKIPPED: python3 is not installed");
        return;
    };
    let mut stdout = BufReader::new(python.stdout.take().expect("it is piped"));
    let mut port = String::new();
    stdout.read_line(&mut port).expect("it tells its port");
    let folder = Folder::new();
    let url = format!("http://127.0.0.1:{}/", port.trim());
    let config = folder.write("webhook.json", sample(&url));
    let before = now_ms();
    let _ended = Launch::with_config(&config)
        .run(events_file())
        .expect_code(0);
    let after = now_ms();

    drop(python.stdin.take());
    let mut report = String::new();
    stdout.read_to_string(&mut report).expect("it reports");
    assert!(python.wait().expect("it ends").success());
    let requests: Vec<Value> = report
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let bodies: Vec<Vec<u8>> = requests
        .iter()
        .map(|request| bytes(request["body"].as_str().expect("hex")))
        .collect();
    check_arrived(&bodies, &events());
    for (request, body) in requests.iter().zip(&bodies) {
        assert_eq!(request["path"], "/");
        assert_eq!(
            header(request, "Content-Type"),
            "application/vnd.kafka.json.v1+json"
        );
        assert_eq!(header(request, "Producer-Type"), "reliable");
        assert_eq!(header(request, "Content-Length"), body.len().to_string());
        let timestamp: u128 = header(request, "Timestamp")
            .parse()
            .expect("epoch milliseconds");
        assert!(
            (before..=after).contains(&timestamp),
            "{before} {timestamp} {after}"
        );
    }
}

/// The value of the one header of this name.
fn header<'a>(request: &'a Value, name: &str) -> &'a str {
    let pairs = request["headers"].as_array().expect("pairs");
    let mut values = pairs.iter().filter(|pair| {
        pair[0]
            .as_str()
            .is_some_and(|field| field.eq_ignore_ascii_case(name))
    });
    let value = values
        .next()
        .unwrap_or_else(|| panic!("{name} in {request}"));
    assert!(values.next().is_none(), "{name} twice in {request}");
    value[1].as_str().expect("text")
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).expect("hex"));
    digits
        .map(|pair| u8::from_str_radix(pair, 16).expect("hex"))
        .collect()
}
