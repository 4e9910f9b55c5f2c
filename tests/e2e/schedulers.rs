//! docs/schedulers.md and the README: their configurations are valid, and the events of the former are
//! accepted and delivered.

use serde_json::Value;
use testkit::{
    Folder, Launch, Receiver, Reply, Signal, Transcript, has_curl, repository, transcripts,
};

fn page(name: &str) -> String {
    std::fs::read_to_string(repository(name)).expect("it is there")
}

/// The configurations in a text, each with the line after its last one.
fn configurations(text: &str) -> Vec<(usize, Value)> {
    let (mut found, mut block) = (Vec::new(), None::<String>);
    for (number, line) in (1..).zip(text.lines()) {
        match &mut block {
            None if line == "```json" => block = Some(String::new()),
            None => {}
            Some(text) if line == "```" => {
                let config = serde_json::from_str(text);
                found.push((
                    number,
                    config.unwrap_or_else(|error| panic!("{error}: {text}")),
                ));
                block = None;
            }
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    found
}

#[test]
fn each_configuration_for_a_scheduler_is_valid() {
    let found = configurations(&page("docs/schedulers.md"));
    assert!(found.len() > 7, "{} configurations", found.len());
    let mut readme = configurations(&page("README.md"));
    // The other one is Aurora's, with its time-out of 5 ms.
    readme.retain(|(_, config)| !config["inputs"].is_null());
    assert_eq!(readme.len(), 1);
    for (line, config) in found.into_iter().chain(readme) {
        let folder = Folder::new();
        let checked = Launch::new()
            .args(["check", "--no-secrets", "--deny-warnings"])
            .arg(folder.config(&config))
            .run("");
        let said = String::from_utf8_lossy(&checked.stdout);
        assert_eq!(checked.code, Some(0), "up to line {line}:\n{said}");
    }
}

#[test]
fn each_event_for_a_scheduler_is_accepted_and_delivered() {
    if !has_curl() {
        return;
    }
    let page = page("docs/schedulers.md");
    let configurations = configurations(&page);
    let found = transcripts(&page);
    assert!(found.len() > 4, "{} transcripts", found.len());
    for transcript in found {
        let before = configurations
            .iter()
            .rfind(|(line, _)| *line < transcript.line);
        let (_, config) = before.expect("a configuration comes first");
        delivers(&transcript, config.clone());
    }
}

/// Runs a transcript under the configuration before it.
fn delivers(transcript: &Transcript, mut config: Value) {
    let receiver = Receiver::always(Reply::status(200));
    config["targets"][0]["targetURL"] = receiver.url().into();
    let folder = Folder::new();
    let webhookd = Launch::with_config(&folder.config(&config))
        .args(["--listen", "127.0.0.1:0"])
        .spawn();
    let url = webhookd.listens();
    transcript.check(folder.path(), &[("http://127.0.0.1:8080/", &url)]);
    let body = String::from_utf8(receiver.wait_for_requests(1).remove(0).body);
    let body = body.expect("it is UTF-8");
    let omits = !config["inputs"]["slurm"]["omit"].is_null();
    assert!(!(omits && body.contains("script")), "{body}");
    webhookd.signal(Signal::TERM);
    webhookd.wait().expect_code(0);
}
