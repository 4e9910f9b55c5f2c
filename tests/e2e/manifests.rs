//! The manifests for Kubernetes: as its schemas say, and as webhookd takes them.

use serde_json::{Value, json};
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

/// What the script that checks them says of each text.
fn results(python: &Python, texts: &[String]) -> Vec<Value> {
    let script = Launch::of(python.bin().join("python3"));
    let script = script.args(["-c", include_str!("manifests.py")]);
    let ended = script.run(json!(texts).to_string()).expect_code(0);
    serde_json::from_slice(&ended.stdout).expect("it prints JSON")
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
    let mistakes = [
        ("failureThreshold: 60", "failureThresholds: 60"),
        ("replicas: 1", "replicas: one"),
        ("interval: 15s", "intervals: 15s"),
    ];
    let mut texts = vec![manifests.clone()];
    for (right, wrong) in mistakes {
        let changed = manifests.replace(right, wrong);
        assert_ne!(changed, manifests, "{right} is in no manifest");
        texts.push(changed);
    }
    let results = results(&python, &texts);
    for ((_, wrong), result) in mistakes.iter().zip(&results[1..]) {
        assert!(result["error"].is_string(), "{wrong} was accepted");
    }
    let manifests = &results[0]["valid"];
    assert!(manifests.is_array(), "{}", results[0]["error"]);

    let config = of_kind(manifests, "ConfigMap");
    let config = config["data"]["webhook.json"].as_str().expect("the file");
    let folder = Folder::new();
    let edited = config.replace("EDIT-ME", "http://receiver.example/");
    assert_ne!(edited, config, "the file is to be edited");
    let path = folder.write("webhook.json", edited);
    let _ended = Launch::new().arg("check").arg(path).run("").expect_code(0);

    let pod = &of_kind(manifests, "StatefulSet")["spec"]["template"]["spec"];
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
