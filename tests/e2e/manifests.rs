//! The manifests for Kubernetes: as its schemas say, and as webhookd takes them.

use serde_json::Value;
use testkit::{Folder, KUBERNETES, Launch, Python, repository, skip};

/// The manifests of docs/packaging/kubernetes, one after the other.
fn manifests() -> String {
    ["webhookd.yaml", "servicemonitor.yaml"]
        .map(|name| {
            let path = repository("docs/packaging/kubernetes").join(name);
            std::fs::read_to_string(path).expect("the manifest can be read")
        })
        .join("---\n")
}

/// Runs the script that checks them; its exit code, and what it printed.
fn validated(python: &Python, manifests: &str) -> (Option<i32>, String) {
    let script = Launch::of(python.bin().join("python3"));
    let script = script.args(["-c", include_str!("manifests.py")]);
    let ended = script.run(manifests);
    let printed = String::from_utf8(ended.stdout).expect("it prints text");
    (ended.code, printed + &ended.stderr)
}

fn of_kind<'a>(manifests: &'a Value, kind: &str) -> &'a Value {
    let mut all = manifests.as_array().expect("a list").iter();
    all.find(|it| it["kind"] == kind).expect("there is one")
}

#[test]
fn the_manifests_are_as_kubernetes_and_webhookd_take_them() {
    let python = match Python::with(&KUBERNETES) {
        Ok(python) => python,
        Err(why) => return skip(&why),
    };
    let manifests = manifests();
    for (right, wrong) in [
        ("failureThreshold: 60", "failureThresholds: 60"),
        ("replicas: 1", "replicas: one"),
        ("interval: 15s", "intervals: 15s"),
    ] {
        let changed = manifests.replace(right, wrong);
        assert_ne!(changed, manifests, "{right} is in no manifest");
        let (code, printed) = validated(&python, &changed);
        assert_eq!(code, Some(1), "{wrong} was accepted: {printed}");
    }
    let (code, printed) = validated(&python, &manifests);
    assert_eq!(code, Some(0), "{printed}");
    let manifests: Value = serde_json::from_str(&printed).expect("it prints JSON");

    let config = of_kind(&manifests, "ConfigMap");
    let config = config["data"]["webhook.json"].as_str().expect("the file");
    let folder = Folder::new();
    let edited = config.replace("EDIT-ME", "http://receiver.example/");
    assert_ne!(edited, config, "the file is to be edited");
    let path = folder.write("webhook.json", edited);
    let _ended = Launch::new().arg("check").arg(path).run("").expect_code(0);

    let pod = &of_kind(&manifests, "StatefulSet")["spec"]["template"]["spec"];
    let args = pod["containers"][0]["args"].as_array().expect("arguments");
    let help = Launch::new().args(["run", "--help"]).run("");
    let help = String::from_utf8(help.expect_code(0).stdout).expect("it prints text");
    for arg in args.iter().skip(1).map(|arg| arg.as_str().expect("text")) {
        let (option, _) = arg.split_once('=').unwrap_or((arg, ""));
        assert!(help.contains(option), "webhookd run has no {option}");
    }
    // --grace is 30 s unless it is given.
    let seconds = pod["terminationGracePeriodSeconds"].as_u64();
    assert!(seconds.is_some_and(|it| it > 30), "{seconds:?}");
}
