//! The operators' interface: it is as `docs/openapi.yaml` says, and foreigners are refused.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::{
    Admin, Answer, Client, Folder, Launch, Messages, Receiver, Reply, Signal, event, has_curl,
    transcripts,
};

/// Answers that the walk through the document cannot cause, and why.
const OUT_OF_REACH: [(&str, &str); 5] = [
    // A thread has to end by a fault of the program.
    ("livez", "503"),
    // A second one has to come while the first one reads.
    ("verifyQueue", "409"),
    // The file is valid, and cannot be put in force.
    ("reload", "409"),
    // Checked with the bodies that are not finished.
    ("validateConfig", "408"),
    // All bodies are read by the same function.
    ("findTask", "408"),
];

pub(crate) fn two_targets(dead: &str, alive: &str) -> Value {
    json!({
        "targets": [
            {
                "name": "audit",
                "targetURL": dead,
                "headers": { "Authorization": "Bearer hidden-token" },
                "timeoutMsec": 30_000,
            },
            {
                "name": "other",
                "targetURL": alive,
                "headers": {},
                "timeoutMsec": 30_000,
                "delivery": "best-effort",
            },
        ],
        "queue": { "dir": "queue" },
    })
}

/// The document, and what of it was checked.
struct Document {
    root: Value,
    unchecked: BTreeSet<(String, String)>,
}

impl Document {
    fn read() -> Document {
        let path = testkit::repository("docs/openapi.yaml");
        let text = std::fs::read_to_string(path).expect("it is there");
        let root: Value = serde_saphyr::from_str(&text).expect("it is YAML");
        let mut unchecked = BTreeSet::new();
        for methods in root["paths"].as_object().expect("it has paths").values() {
            for operation in methods.as_object().expect("it has methods").values() {
                let id = operation["operationId"].as_str().expect("it has a name");
                for status in operation["responses"].as_object().expect("some").keys() {
                    unchecked.insert((id.to_owned(), status.clone()));
                }
            }
        }
        Document { root, unchecked }
    }

    /// Follows `$ref` once.
    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("it is in this document");
                self.root.pointer(pointer).expect("it leads somewhere")
            }
            None => value,
        }
    }

    fn operation(&self, id: &str) -> (String, String, Value) {
        for (path, methods) in self.root["paths"].as_object().expect("it has paths") {
            for (method, operation) in methods.as_object().expect("it has methods") {
                if operation["operationId"] == id {
                    return (method.to_uppercase(), path.clone(), operation.clone());
                }
            }
        }
        panic!("there is no operation {id}");
    }

    /// Checks an answer against the response of this status, or of `default`.
    fn check(&mut self, id: &str, status: &str, answer: &Answer) {
        let (.., operation) = self.operation(id);
        if status != "default" {
            let text = String::from_utf8_lossy(&answer.body);
            assert_eq!(answer.status.to_string(), status, "{id}: {text}");
        }
        let response = self.resolve(&operation["responses"][status]).clone();
        assert!(response.is_object(), "{id} has no response {status}");
        match response["content"].as_object() {
            None => assert!(answer.body.is_empty(), "{id} {status}: {answer:?}"),
            Some(kinds) => {
                let sent = answer.header("content-type").unwrap_or_default();
                let kind = sent.split(';').next().unwrap_or_default();
                let content = kinds.get(kind);
                let content = content.unwrap_or_else(|| panic!("{id} {status}: {sent:?}"));
                self.check_schema(&content["schema"], kind, answer);
            }
        }
        self.unchecked.remove(&(id.to_owned(), status.to_owned()));
    }

    fn check_schema(&self, schema: &Value, kind: &str, answer: &Answer) {
        let value = if kind.ends_with("json") {
            answer.json()
        } else {
            Value::String(String::from_utf8(answer.body.clone()).expect("it is UTF-8"))
        };
        let mut schema = schema.clone();
        schema["components"] = self.root["components"].clone();
        let validator = jsonschema::validator_for(&schema).expect("it is a schema");
        let problems: Vec<_> = validator
            .iter_errors(&value)
            .map(|problem| format!("{}: {problem}", problem.instance_path()))
            .collect();
        assert!(problems.is_empty(), "{problems:#?} in {value:#}");
    }
}

/// Asks for the operations of the document.
struct Asker {
    document: Document,
    admin: Admin,
}

impl Asker {
    /// Drops a target that was just removed: refused as long as an attempt is under way.
    fn drop_removed(&mut self, path: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let answer = self.admin.ask("DELETE", path, &[], "");
            if answer.status != 409 || Instant::now() > deadline {
                return self.document.check("dropTarget", "200", &answer);
            }
        }
    }

    /// Asks for an operation; `path` fills in its parameters and adds a query.
    fn ask(&mut self, id: &str, status: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let (method, template, _) = self.document.operation(id);
        let path = if path.is_empty() { &template } else { path };
        let answer = self.admin.ask(&method, path, headers, body);
        self.document.check(id, status, &answer);
        answer
    }

    fn get(&mut self, id: &str, status: &str, path: &str) -> Answer {
        self.ask(id, status, path, &[], "")
    }

    fn json(&mut self, id: &str, status: &str, path: &str, body: &str) -> Answer {
        self.ask(id, status, path, &["Content-Type: application/json"], body)
    }
}

#[test]
fn unfinished_bodies_keep_no_probe_scrape_or_operator_out() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&json!({
        "headers": {},
        "targetURL": receiver.url(),
        "timeoutMsec": 30_000,
    }));
    let process = Launch::with_config(&config)
        .args(["--listen", "127.0.0.1:0", "--admin", "0"])
        .spawn();
    let admin = Admin::of(&process);
    let host = admin.url().trim_start_matches("http://");
    let host = host.trim_end_matches('/');
    let path = "POST /api/v1/config/validate";
    let mut slow = Client::connect(admin.url()).expect("it listens");
    let head = format!("{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\n{{");
    slow.send(head).expect("it reads");
    let answer = slow.answer().expect("it is answered");
    Document::read().check("validateConfig", "408", &answer);
    assert!(slow.is_closed());
    let unfinished: Vec<_> = (0..300)
        .map(|_| {
            let mut client = Client::connect(admin.url()).expect("it listens");
            let head = format!("{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\n{{");
            // One that was closed for others is no loss.
            drop(client.send(head));
            client
        })
        .collect();
    for path in ["/livez", "/readyz", "/metrics"] {
        let began = Instant::now();
        admin.text(path);
        assert!(began.elapsed() < Duration::from_secs(30), "{path}");
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while admin.ask("GET", "/api/v1/status", &[], "").status != 200 {
        assert!(Instant::now() < deadline, "an operator is kept out");
    }
    drop(unfinished);
    process.signal(Signal::TERM);
    process.wait().expect_code(0);
}

#[test]
fn every_answer_of_the_document_is_given_as_it_says() {
    let dead = Receiver::always(Reply::status(400).body("no such field"));
    let alive = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let settings = two_targets(&dead.url(), &alive.url());
    let config = folder.config(&settings);
    let token = folder.write("token", "hush\n");
    let mut process = Launch::with_config(&config)
        .args(["--admin", "0", "--grace", "1h"])
        .spawn();
    process.write(event("one", 1) + "\n" + &event("two", 2) + "\n");
    let admin = Admin::of(&process);
    admin.wait_for("audit", "deadHeld", 2);
    let mut asker = Asker {
        document: Document::read(),
        admin,
    };

    for id in [
        "index",
        "routes",
        "livez",
        "readyz",
        "metrics",
        "vars",
        "varsJson",
        "openapi",
        "status",
        "session",
        "history",
        "listAlerts",
        "listWorkers",
        "listTargets",
        "listDeadLetters",
        "showQueue",
        "verifyQueue",
        "listQuarantined",
        "reload",
        "showConfig",
    ] {
        asker.get(id, "200", "");
    }
    asker.get("varsJson", "200", "/vars.json?pretty");
    asker.get("pageFile", "200", "/page/main.js");
    asker.get("pageFile", "404", "/page/unknown.js");
    foreigners(&mut asker);
    targets(&mut asker);
    test_deliveries(&mut asker);
    dead_letters(&mut asker);

    folder.write("webhook.json", "{\"targets\": 7}");
    asker.get("reload", "422", "");
    let mut left = settings.clone();
    left["targets"]
        .as_array_mut()
        .expect("there are two")
        .remove(0);
    asker.json("validateConfig", "200", "", &left.to_string());
    asker.json("validateConfig", "200", "", "{");
    asker.json("validateConfig", "413", "", &" ".repeat((1 << 20) + 1));
    asker.get("dropTarget", "409", "/api/v1/queue/targets/audit");
    asker.get("dropTarget", "404", "/api/v1/queue/targets/unknown");
    folder.config(&left);
    asker.get("reload", "200", "");
    asker.drop_removed("/api/v1/queue/targets/audit");

    for (id, method) in [
        ("listTargets", "DELETE"),
        ("showTarget", "PUT"),
        ("testTarget", "PUT"),
        ("listWorkers", "PUT"),
        ("listAttempts", "PUT"),
        ("listWaitingTasks", "PUT"),
        ("showTask", "PUT"),
        ("findTask", "PUT"),
        ("listDeadLetters", "PUT"),
        ("groupDeadLetters", "PUT"),
        ("showDeadLetter", "PUT"),
        ("replayDeadLetters", "PUT"),
        ("dropDeadLetters", "PUT"),
        ("showQueue", "PUT"),
        ("verifyQueue", "PUT"),
        ("listQuarantined", "PUT"),
        ("dropTarget", "PUT"),
        ("reload", "PUT"),
        ("status", "PUT"),
    ] {
        let (_, path, _) = asker.document.operation(id);
        let answer = asker.admin.ask(method, &path, &[], "");
        assert_eq!(answer.status, 405, "{id}");
        asker.document.check(id, "default", &answer);
    }
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(1);

    with_a_token(&mut asker, &config, &token);
    while_it_ends(&mut asker);
    for (id, status) in OUT_OF_REACH {
        assert!(
            asker
                .document
                .unchecked
                .remove(&(id.to_owned(), status.to_owned())),
            "{id}"
        );
    }
    assert_eq!(asker.document.unchecked, BTreeSet::new(), "not checked");
}

fn foreigners(asker: &mut Asker) {
    for id in ["index", "status"] {
        asker.ask(id, "403", "", &["Host: evil.example.com"], "");
        asker.ask(id, "403", "", &["Origin: http://evil.example.com"], "");
    }
    let path = "/api/v1/targets/audit/pause";
    asker.ask("pauseTarget", "403", path, &["Origin: null"], "");
}

fn targets(asker: &mut Asker) {
    let shown = asker
        .get("showTarget", "200", "/api/v1/targets/audit")
        .json();
    assert_eq!(shown["settings"]["headers"]["Authorization"], "***");
    asker.get("showTarget", "404", "/api/v1/targets/unknown");
    let path = "/api/v1/targets/audit/attempts";
    let attempts = asker.get("listAttempts", "200", path).json();
    assert_eq!(attempts["attempts"].as_array().map(Vec::len), Some(2));
    let wrong = format!("{path}?outcome=200");
    asker.get("listAttempts", "400", &wrong);
    asker.get("listAttempts", "404", "/api/v1/targets/unknown/attempts");
    let path = "/api/v1/targets/audit/waiting";
    asker.get("listWaitingTasks", "200", path);
    asker.get("listWaitingTasks", "400", &format!("{path}?limit=0"));
    asker.get("listWaitingTasks", "404", "/api/v1/targets/unknown/waiting");
    let task = asker.get("showTask", "200", "/api/v1/tasks/one").json();
    let of_audit = &task["targets"][0];
    for found in ["attempts", "deadLetters"] {
        let found = of_audit[found].as_array();
        assert_eq!(found.map(Vec::len), Some(1), "{task:#}");
    }
    let same = asker.json("findTask", "200", "", r#"{"key":"one"}"#).json();
    assert_eq!(same, task);
    asker.json("findTask", "400", "", r#"{"task":"one"}"#);
    asker.json("findTask", "413", "", &" ".repeat((1 << 20) + 1));
    asker.get("findTask", "415", "");
    for (id, what) in [
        ("pauseTarget", "pause"),
        ("resumeTarget", "resume"),
        ("restartTarget", "restart"),
    ] {
        asker.get(id, "204", &format!("/api/v1/targets/audit/{what}"));
        asker.get(id, "404", &format!("/api/v1/targets/unknown/{what}"));
    }
}

fn test_deliveries(asker: &mut Asker) {
    let path = "/api/v1/targets/audit/test";
    let tested = asker.get("testTarget", "200", path).json();
    let (request, answer) = (&tested["request"], &tested["answer"]);
    assert!(
        request["body"]
            .as_str()
            .expect("text")
            .contains("webhookd-test")
    );
    assert_eq!(answer["status"], 400);
    assert_eq!(answer["body"], "no such field");
    assert!(tested["error"].is_string(), "{tested}");
    let headers = request["headers"].as_array().expect("a list");
    assert!(
        headers.contains(&json!(["authorization", "***"])),
        "{tested}"
    );
    let sent = event("one", 7);
    let path = "/api/v1/targets/other/test?input=default";
    let tested = asker.json("testTarget", "200", path, &sent).json();
    assert_eq!(tested["request"]["body"], sent);
    assert_eq!(tested["error"], Value::Null);
    for (path, body) in [
        ("/api/v1/targets/audit/test", "{}"),
        ("/api/v1/targets/audit/test?input=unknown", &sent),
        ("/api/v1/targets/audit/test?unknown=1", &sent),
    ] {
        asker.json("testTarget", "400", path, body);
    }
    let text = ["Content-Type: text/plain"];
    asker.ask(
        "testTarget",
        "415",
        "/api/v1/targets/audit/test",
        &text,
        &sent,
    );
    asker.get("testTarget", "404", "/api/v1/targets/unknown/test");
    let stats = asker.admin.get("/api/v1/targets/audit")["stats"].take();
    assert_eq!(
        stats["attempts"]["4xx"], 2,
        "a test delivery counts: {stats}"
    );
}

fn group_dead_letters(asker: &mut Asker) {
    let operation = "groupDeadLetters";
    let all = asker
        .get(operation, "200", "/api/v1/dead-letters/groups")
        .json();
    let group = &all["groups"][0];
    for (member, value) in [
        ("target", json!("audit")),
        ("reason", json!("refused")),
        ("status", json!(400)),
        ("count", json!(2)),
    ] {
        assert_eq!(group[member], value, "{all}");
    }
    assert!(group["oldest"].as_u64() <= group["newest"].as_u64());
    assert_eq!(all["next"], Value::Null);
    let path = "/api/v1/dead-letters/groups?task=two";
    let one = asker.get(operation, "200", path).json();
    assert_eq!(one["groups"][0]["count"], 1);
    let first = "/api/v1/dead-letters?limit=1";
    let cursor = asker.admin.get(first)["next"].take();
    let cursor = cursor.as_str().expect("there is another").to_owned();
    let path = format!("/api/v1/dead-letters/groups?cursor={cursor}");
    let rest = asker.get(operation, "200", &path).json();
    assert_eq!(rest["groups"][0]["count"], 1);
    for bad in ["since=yesterday", "limit=1", "cursor=x"] {
        let path = format!("/api/v1/dead-letters/groups?{bad}");
        asker.get(operation, "400", &path);
    }
    let path = "/api/v1/dead-letters/groups?target=unknown";
    asker.get(operation, "404", path);
}

fn dead_letters(asker: &mut Asker) {
    let first = asker
        .get("listDeadLetters", "200", "/api/v1/dead-letters?limit=1")
        .json();
    let next = first["next"].as_str().expect("there is another");
    let path = format!("/api/v1/dead-letters?limit=1&cursor={next}");
    let second = asker.get("listDeadLetters", "200", &path).json();
    assert_eq!(second["next"], Value::Null);
    let (one, two) = (&first["deadLetters"][0], &second["deadLetters"][0]);
    assert_eq!((&one["task"], &two["task"]), (&json!("one"), &json!("two")));
    assert_eq!(one["status"], 400);
    let found = |path: &str| {
        asker.admin.get(path)["deadLetters"]
            .as_array()
            .map(Vec::len)
    };
    assert_eq!(found("/api/v1/dead-letters?task=two&status=400"), Some(1));
    assert_eq!(found("/api/v1/dead-letters?status=503"), Some(0));
    for bad in ["limit=0", "cursor=x", "since=yesterday", "tusk=one", "id=7"] {
        asker.get(
            "listDeadLetters",
            "400",
            &format!("/api/v1/dead-letters?{bad}"),
        );
    }
    asker.get(
        "listDeadLetters",
        "404",
        "/api/v1/dead-letters?target=unknown",
    );
    asker.get(
        "listQuarantined",
        "400",
        "/api/v1/queue/quarantined?cursor=x",
    );

    group_dead_letters(asker);
    let id = one["id"].as_str().expect("it has an id").to_owned();
    let full = asker
        .get(
            "showDeadLetter",
            "200",
            &format!("/api/v1/dead-letters/{id}"),
        )
        .json();
    assert_eq!(full["deadLetters"][0]["event"], event("one", 1));
    assert_eq!(full["deadLetters"][0]["response"], "no such field");
    asker.get("showDeadLetter", "400", "/api/v1/dead-letters/7");
    let unknown = format!("/api/v1/dead-letters/evt_{}", "0".repeat(32));
    asker.get("showDeadLetter", "404", &unknown);

    for id in ["replayDeadLetters", "dropDeadLetters"] {
        asker.ask(
            id,
            "415",
            "",
            &["Content-Type: text/plain"],
            "{\"all\":true}",
        );
        for bad in [
            "",
            "{}",
            "{\"all\":false}",
            "{\"all\":true,\"task\":\"x\"}",
            "{\"tusk\":\"x\"}",
        ] {
            asker.json(id, "400", "", bad);
        }
        asker.json(id, "404", "", "{\"target\":\"unknown\"}");
    }
    let one = json!({ "id": id }).to_string();
    let replayed = asker.json("replayDeadLetters", "200", "", &one).json();
    assert_eq!(replayed, json!({ "replayed": 1, "more": false }));
    asker.admin.wait_for("audit", "deadHeld", 2);
    let dropped = asker.json("dropDeadLetters", "200", "", &one).json();
    assert_eq!(dropped, json!({ "dropped": 1, "more": false }));
    asker.admin.wait_for("audit", "deadHeld", 1);
}

/// What is answered to those who have no token.
fn with_a_token(asker: &mut Asker, config: &Path, token: &Path) {
    let mut process = Launch::with_config(config)
        .args(["--admin", "0", "--admin-token-file"])
        .arg(token)
        .spawn();
    asker.admin = Admin::of(&process);
    for id in ["metrics", "status", "session"] {
        let refused = asker.get(id, "401", "");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        asker.ask(id, "401", "", &["Authorization: Bearer wrong"], "");
        asker.ask(id, "200", "", &["Authorization: Bearer hush"], "");
    }
    asker.get("livez", "200", "");
    asker.get("readyz", "200", "");
    // The page asks for the token, and is open itself.
    asker.ask("index", "200", "", &["Accept: text/html"], "");
    asker.get("pageFile", "200", "/page/main.js");
    assert_eq!(asker.admin.ask("GET", "/", &[], "").status, 401);
    process.close_input();
    let _ended = process.wait().expect_code(0);
}

/// What is answered while it ends.
fn while_it_ends(asker: &mut Asker) {
    let receiver = Receiver::always(Reply::status(200).held());
    let folder = Folder::new();
    let config = folder.config(&two_targets(&receiver.url(), &receiver.url()));
    let mut process = Launch::with_config(&config)
        .args(["--admin", "0", "--grace", "1h"])
        .spawn();
    process.write(event("one", 1) + "\n");
    asker.admin = Admin::of(&process);
    receiver.wait_for_requests(2);
    asker.get("readyz", "200", "");
    process.signal(Signal::TERM);
    while asker.admin.ask("GET", "/readyz", &[], "").status == 200 {
        std::thread::yield_now();
    }
    let unready = asker.get("readyz", "503", "").json();
    assert_eq!(unready["reasons"][0]["code"], "stopping");
    asker.get("livez", "200", "");
    receiver.release();
    let _ended = process.wait().expect_code(0);
}

#[test]
fn the_socket_in_the_queues_directory_answers_this_user_alone() {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&two_targets(&receiver.url(), &receiver.url()));
    let process = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    let admin = Admin::of(&process);
    while admin.ask("GET", "/readyz", &[], "").status != 200 {
        std::thread::yield_now();
    }
    let socket = folder.path().join("queue/admin.sock");
    let mode = std::fs::metadata(&socket)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&socket).expect("it listens");
    let request = "GET /api/v1/status HTTP/1.1\r\nHost: whatever\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it reads");
    let answer = Answer::read(&mut Messages::new(stream)).expect("it answers");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["ready"], true);
}

#[test]
fn a_secret_that_the_receiver_repeats_is_masked_in_a_test_delivery() {
    let receiver =
        Receiver::always(Reply::status(500).body("got Bearer hidden-token, hidden-token"));
    let folder = Folder::new();
    let config = folder.config(&two_targets(&receiver.url(), &receiver.url()));
    let mut process = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    let admin = Admin::of(&process);
    let answer = admin
        .post("/api/v1/targets/audit/test", "")
        .expect_status(200);
    assert_eq!(answer.json()["answer"]["body"], "got ***, ***");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!text.contains("hidden-token"), "{text}");
    let sent = receiver.requests();
    assert_eq!(sent.len(), 1);
    process.close_input();
    let _ended = process.wait().expect_code(0);
}

#[test]
fn an_alert_is_shown_while_its_condition_holds() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&two_targets(&receiver.url(), &receiver.url()));
    let process = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    let admin = Admin::of(&process);
    folder.write("webhook.json", "{}");
    admin
        .ask("POST", "/api/v1/reload", &[], "")
        .expect_status(422);
    let wait = |holds: bool| {
        let until = Instant::now() + testkit::DEADLINE;
        loop {
            let alerts = admin.get("/api/v1/alerts");
            let mut found = alerts["alerts"].as_array().expect("a list").iter();
            let found = found.find(|alert| alert["name"] == "WebhookdReloadFailed");
            if found.is_some() == holds {
                return found.cloned();
            }
            assert!(Instant::now() < until, "{alerts}");
            std::thread::yield_now();
        }
    };
    let alert = wait(true).expect("it holds");
    assert_eq!(alert["severity"], "warning");
    assert_eq!(alert["runbook"], "docs/operations.md#webhookdreloadfailed");
    folder.config(&two_targets(&receiver.url(), &receiver.url()));
    admin
        .ask("POST", "/api/v1/reload", &[], "")
        .expect_status(200);
    wait(false);
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(0);
}

#[test]
fn the_history_has_the_rates_and_latencies_of_each_target() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&two_targets(&receiver.url(), &receiver.url()));
    let mut process = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    let admin = Admin::of(&process);
    for number in 0..10 {
        process.write(event("one", number) + "\n");
    }
    let until = Instant::now() + testkit::DEADLINE;
    let total = |series: &Value| {
        let points = series.as_array().expect("it is a list").iter();
        // Of 10 s each.
        (points.filter_map(Value::as_f64).sum::<f64>() * 10.0).round()
    };
    loop {
        let history = admin.get("/api/v1/history");
        let audit = &history["targets"]["audit"];
        if total(&history["series"]["in"]) >= 1.0 && total(&audit["rate"]) >= 1.0 {
            let p99 = audit["p99"].as_array().expect("it is a list").iter();
            assert!(p99.clone().any(Value::is_number), "{history}");
            break;
        }
        assert!(Instant::now() < until, "{history}");
        std::thread::yield_now();
    }
    process.close_input();
    let _ended = process.wait().expect_code(0);
}

#[test]
fn a_paused_target_gets_nothing_until_it_is_resumed() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&two_targets(&receiver.url(), &receiver.url()));
    let mut process = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    let admin = Admin::of(&process);
    assert_eq!(admin.post("/api/v1/targets/audit/pause", "").status, 204);
    process.write(event("one", 1) + "\n");
    admin.wait_for("other", "delivered", 1);
    admin.wait_for("audit", "pending", 1);
    let shown = admin.get("/api/v1/targets/audit");
    assert_eq!(
        (&shown["paused"], &shown["stats"]["delivered"]),
        (&json!(true), &json!(0))
    );
    assert!(
        admin
            .text("/metrics")
            .contains("webhookd_target_paused{target=\"audit\"} 1")
    );
    assert_eq!(admin.post("/api/v1/targets/audit/resume", "").status, 204);
    admin.wait_for("audit", "delivered", 1);
    process.close_input();
    let _ended = process.wait().expect_code(0);
}

#[test]
fn the_transcripts_of_the_documentation_are_what_is_answered() {
    if !has_curl() {
        return;
    }
    let refuses = Receiver::always(Reply::status(422).body("unknown field"));
    let takes = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&two_targets(&refuses.url(), &takes.url()));
    let mut process = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    process.write(event("one", 1) + "\n");
    let admin = Admin::of(&process);
    admin.wait_for("audit", "deadHeld", 1);
    admin.wait_for("other", "delivered", 1);
    let letters = admin.get("/api/v1/dead-letters");
    let id = letters["deadLetters"][0]["id"]
        .as_str()
        .expect("it has an id");
    let places = [
        ("http://localhost:9480/", admin.url()),
        ("evt_00000000000000000000000000000000", id),
    ];
    let page = testkit::repository("docs/admin.md");
    let text = std::fs::read_to_string(page).expect("it is there");
    let found = transcripts(&text);
    let document = Document::read();
    for path in document.root["paths"]
        .as_object()
        .expect("it has paths")
        .keys()
    {
        let path = path
            .replace("{name}", "audit")
            .replace("{key}", "one")
            .replace("{file}", "main.js")
            .replace("{id}", "evt_00000000000000000000000000000000");
        let url = format!("http://localhost:9480{path}");
        let mut words = found.iter().flat_map(|it| it.command.split_whitespace());
        let shown = words.any(|word| word.trim_matches('\'').split('?').next() == Some(&*url));
        assert!(shown, "{path} has no transcript");
    }
    for transcript in found {
        transcript.check(folder.path(), &places);
    }
    process.signal(Signal::TERM);
    let _ended = process.wait();
}
