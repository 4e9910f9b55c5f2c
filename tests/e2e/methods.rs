//! The method of a target's requests.

use crate::durable::reliable;
use serde_json::json;
use testkit::{Admin, Folder, Launch, Receiver, Reply, event};

#[test]
fn each_attempt_has_the_method_of_its_target_and_its_body() {
    for method in ["POST", "PUT", "PATCH"] {
        let receiver = Receiver::start(|request| match request.number {
            0 => Reply::status(503),
            _ => Reply::status(200),
        });
        let folder = Folder::new();
        let mut config = reliable(&receiver.url());
        config["method"] = json!(method);
        config["retry"] = json!({ "initialMsec": 1, "maxMsec": 1 });
        Launch::with_config(&folder.config(&config))
            .run(event("a", 1))
            .expect_code(0);
        for request in receiver.wait_for_requests(2) {
            assert_eq!(request.line(), format!("{method} / HTTP/1.1"));
            assert_eq!(request.body, event("a", 1).trim_end().as_bytes());
        }
    }
}

#[test]
fn a_test_delivery_and_a_dry_run_show_the_method() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let mut config = reliable(&receiver.url());
    config["method"] = json!("PUT");
    let path = folder.config(&config);
    let dry_run = Launch::new()
        .args(["send", "-", "--dry-run", "--webhook-config"])
        .arg(&path)
        .run(event("a", 1))
        .expect_code(0);
    let shown = String::from_utf8(dry_run.stdout).expect("it is UTF-8");
    assert!(shown.contains("\nPUT http://"), "{shown}");
    let process = Launch::with_config(&path).args(["--admin", "0"]).spawn();
    let tested = Admin::of(&process).post("/api/v1/targets/default/test", "");
    assert_eq!(tested.expect_status(200).json()["request"]["method"], "PUT");
    assert_eq!(receiver.requests()[0].line(), "PUT / HTTP/1.1");
}
