//! Another configuration while it runs: nothing is lost, nothing overtakes.

use crate::deliver::check_arrived;
use serde_json::{Value, json};
use testkit::{Admin, Folder, Launch, Receiver, Reply, Signal, event};

fn target(url: &str, version: &str, concurrency: usize) -> Value {
    json!({
        "targets": [{
            "name": "audit",
            "targetURL": url,
            "headers": { "X-Version": version },
            "timeoutMsec": 30_000,
            "concurrency": concurrency,
        }],
        "queue": { "dir": "queue" },
    })
}

/// Puts a file in another's place, as editors do.
fn replace(folder: &Folder, content: &str) {
    let new = folder.write("webhook.json.new", content);
    std::fs::rename(new, folder.path().join("webhook.json")).expect("it is in the same folder");
}

/// Reloads that there have been, by what they came to.
fn reloads(admin: &Admin) -> (u64, u64) {
    let config = &admin.get("/api/v1/status")["config"];
    let count = |name: &str| config[name].as_u64().expect("it is a count");
    (count("reloads"), count("failedReloads"))
}

fn wait_for_reloads(admin: &Admin, expected: (u64, u64)) {
    let until = std::time::Instant::now() + testkit::DEADLINE;
    loop {
        let seen = reloads(admin);
        if seen == expected {
            return;
        }
        assert!(
            std::time::Instant::now() < until,
            "{seen:?}, not {expected:?}"
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_hundred_reloads_under_load_lose_nothing_and_reorder_nothing() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let files = [
        target(&receiver.url(), "a", 4).to_string(),
        target(&receiver.url(), "b", 16).to_string(),
        "{\"targets\": [{\"name\": \"audit\"}]}".to_owned(),
    ];
    let config = folder.write("webhook.json", &files[0]);
    let mut process = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    let admin = Admin::of(&process);
    let mut sent = Vec::new();
    let (mut succeeded, mut failed) = (0, 0);
    for round in 0..100 {
        let mut lines = String::new();
        for number in 0..20 {
            let event = event(&format!("task-{}", number % 7), round * 20 + number);
            lines.push_str(&(event.clone() + "\n"));
            sent.push(event.into_bytes());
        }
        process.write(lines);
        let kind = (round + 1) % 3;
        replace(&folder, &files[kind]);
        let is_valid = kind != 2;
        if is_valid {
            succeeded += 1;
        } else {
            failed += 1;
        }
        if round % 2 == 0 {
            process.signal(Signal::HUP);
        } else {
            let status = admin.post("/api/v1/reload", "").status;
            assert_eq!(status, if is_valid { 200 } else { 422 });
        }
        wait_for_reloads(&admin, (succeeded, failed));
    }
    process.close_input();
    let ended = process.wait().expect_code(0);
    check_arrived(&receiver.bodies(), &sent);
    assert_eq!(ended.summary().count("/delivered"), sent.len() as u64);
    let versions: std::collections::BTreeSet<String> = receiver
        .requests()
        .iter()
        .map(|request| request.header("X-Version").to_string())
        .collect();
    assert_eq!(versions.len(), 2, "both files were in force: {versions:?}");
}

#[test]
fn an_invalid_file_changes_nothing_and_is_told_in_answer_log_and_metric() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&target(&receiver.url(), "a", 4));
    let mut process = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    let admin = Admin::of(&process);
    let before = admin.get("/api/v1/config");
    replace(
        &folder,
        "{\"targets\": [{\"name\": \"audit\", \"colour\": 1}]}",
    );
    let answer = admin.post("/api/v1/reload", "");
    assert_eq!(answer.status, 422);
    let diagnostics = &answer.json()["diagnostics"];
    let told = diagnostics.to_string();
    assert!(told.contains("colour"), "{told}");
    process.wait_for_error("configuration not reloaded");
    process.wait_for_error("colour");
    let metrics = admin.text("/metrics");
    assert!(metrics.contains("webhookd_config_reloads_total{result=\"failure\"} 1"));
    assert!(metrics.contains("webhookd_config_last_reload_successful 0"));
    assert_eq!(admin.get("/api/v1/config"), before);
    process.write(event("one", 1) + "\n");
    assert_eq!(receiver.wait_for_requests(1)[0].header("X-Version"), "a");
    process.close_input();
    let _ended = process.wait().expect_code(0);
}

#[test]
fn a_watched_file_takes_effect_however_it_is_changed() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let token = folder.write("token", "first");
    let mut settings = target(&receiver.url(), "a", 4);
    settings["targets"][0]["headers"]["X-Secret"] = json!({ "file": token });
    // As Kubernetes does: the file is a link through a link, which is turned around.
    let path = |name: &str| folder.path().join(name);
    for name in ["one", "two"] {
        std::fs::create_dir(path(name)).expect("the folder takes folders");
    }
    folder.write("one/webhook.json", settings.to_string());
    std::os::unix::fs::symlink("one", path("data")).expect("a link can be made");
    std::os::unix::fs::symlink("data/webhook.json", path("webhook.json")).expect("and another");
    let mut process = Launch::with_config(&path("webhook.json"))
        .args(["--admin", "0", "--watch"])
        .spawn();
    let admin = Admin::of(&process);
    settings["targets"][0]["headers"]["X-Version"] = json!("b");
    folder.write("two/webhook.json", settings.to_string());
    std::os::unix::fs::symlink("two", path("data.new")).expect("a link can be made");
    std::fs::rename(path("data.new"), path("data")).expect("it is in the same folder");
    wait_for_reloads(&admin, (1, 0));
    // What it refers to counts as well.
    folder.write("token", "second");
    wait_for_reloads(&admin, (2, 0));
    folder.write("two/webhook.json", "{");
    wait_for_reloads(&admin, (2, 1));
    process.write(event("one", 1) + "\n");
    let request = receiver.wait_for_requests(1)[0].clone();
    assert_eq!(request.header("X-Version"), "b");
    assert_eq!(request.header("X-Secret"), "second");
    process.close_input();
    let _ended = process.wait().expect_code(0);
}

#[test]
fn a_config_that_is_a_fifo_or_huge_fails_to_reload_and_holds_up_neither_scrapes_nor_the_end() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&target(&receiver.url(), "a", 4));
    let mut process = Launch::with_config(&config)
        .args(["--admin", "0", "--watch"])
        .watching_memory()
        .spawn();
    let admin = Admin::of(&process);
    process.write(event("one", 1) + "\n");
    receiver.wait_for_requests(1);
    let _started = process.take_peak_memory();
    // A sparse file: larger than memory, and no bytes on the disk.
    std::fs::File::create(folder.path().join("huge"))
        .and_then(|huge| huge.set_len(1 << 40))
        .expect("the folder takes sparse files");
    for (what, said) in [("fifo", "FIFO"), ("huge", "larger than")] {
        if what == "fifo" {
            let made = std::process::Command::new("mkfifo")
                .arg(folder.path().join(what))
                .status();
            assert!(made.expect("there is mkfifo").success());
        }
        std::fs::rename(folder.path().join(what), &config).expect("it is in the same folder");
        // The one that watches may have been there before; each attempt fails in the same way.
        process.signal(Signal::HUP);
        let answer = admin.post("/api/v1/reload", "");
        assert_eq!(answer.status, 422);
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(told.contains(said), "{told}");
        assert!(admin.text("/metrics").contains("webhookd_ready 1"));
    }
    assert!(process.take_peak_memory() < 64 << 20);
    process.signal(Signal::TERM);
    let _ended = process.wait().expect_code(0);
}

#[test]
fn a_url_comes_from_a_file_and_its_token_is_in_no_output() {
    let receiver = Receiver::start(|request| {
        let line = "POST /hook/XyZ0aB1cD2eF3gH4iJ5kL6mN?key=hunter2 HTTP/1.1";
        let is_known = request.line().trim_end() == line;
        Reply::status(if is_known { 200 } else { 503 })
    });
    let folder = Folder::new();
    let url = |rest: &str| format!("{}hook/{rest}", receiver.url());
    folder.write("url", url("lIk3Th1sT0k3n0fTh3P4st"));
    let mut settings = target("", "a", 1);
    settings["targets"][0]["targetURL"] = json!({ "file": "url" });
    settings["targets"][0]["retry"] = json!({ "initialMsec": 1, "maxMsec": 10 });
    let config = folder.write("webhook.json", settings.to_string());
    let mut process = Launch::with_config(&config).args(["--admin", "0"]).spawn();
    let admin = Admin::of(&process);
    process.write(event("one", 1) + "\n");
    receiver.wait_for_requests(1);
    folder.write("url", url("XyZ0aB1cD2eF3gH4iJ5kL6mN?key=hunter2"));
    process.signal(Signal::HUP);
    wait_for_reloads(&admin, (1, 0));
    let shown = admin.get("/api/v1/config").to_string();
    process.close_input();
    let ended = process.wait().expect_code(0);
    assert_eq!(ended.summary().count("/delivered"), 1);
    let literal = json!({
        "targetURL": url("XyZ0aB1cD2eF3gH4iJ5kL6mN?key=hunter2"), "headers": {}, "timeoutMsec": 50,
    });
    let literal = folder.write("literal.json", literal.to_string());
    let mut all = shown + &ended.stderr;
    for command in [["check"].as_slice(), &["config", "show"]] {
        for file in [&config, &literal] {
            let ended = Launch::new().args(command).arg(file).run("");
            all += &String::from_utf8_lossy(&ended.stdout);
            all += &ended.stderr;
        }
    }
    assert!(all.contains("/hook/***"), "{all}");
    for secret in ["XyZ0", "hunter2", "lIk3"] {
        assert!(!all.contains(secret), "{all}");
    }
}
