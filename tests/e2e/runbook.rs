//! The first steps of `docs/operations.md`, done as a person does them.

use crate::packaging::{said, tool};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use testkit::{DEADLINE, Folder, Launch, Transcript, has_curl, repository, transcripts, webhookd};

/// What the manual says, and the line that it begins on less one, from a heading to the next.
pub(crate) fn section(manual: &str, heading: &str) -> String {
    let start = manual.find(heading).expect("the manual has the section");
    let rest = &manual[start + heading.len()..];
    rest[..rest.find("\n## ").unwrap_or(rest.len())].to_owned()
}

/// What a person does.
pub(crate) enum Step {
    /// Saves a file, of a block such as ```json NAME or ```sh NAME.
    Save { name: String, content: String },
    /// Types a command.
    Type(Transcript),
}

pub(crate) fn steps(text: &str) -> BTreeMap<usize, Step> {
    let mut steps: BTreeMap<usize, Step> = transcripts(text)
        .into_iter()
        .map(|transcript| (transcript.line, Step::Type(transcript)))
        .collect();
    let mut lines = (1..).zip(text.lines());
    while let Some((line, text)) = lines.next() {
        let kinds = ["```json ", "```sh "];
        let Some(name) = kinds.iter().find_map(|kind| text.strip_prefix(kind)) else {
            continue;
        };
        let content = lines
            .by_ref()
            .map(|(_, text)| text)
            .take_while(|text| *text != "```")
            .fold(String::new(), |content, text| content + text + "\n");
        let name = name.to_owned();
        steps.insert(line, Step::Save { name, content });
    }
    steps
}

/// Ports below those that the system assigns by itself.
pub(crate) fn free_ports() -> impl Iterator<Item = u16> {
    let start = u16::try_from(std::process::id() % 10_000).expect("it is small");
    (0..10_000)
        .map(move |step| 20_000 + (start + step) % 10_000)
        .filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

/// Whether a command only looks: a person would look again until it is there.
fn only_looks(command: &str) -> bool {
    let looks = [
        "cat ",
        "tail ",
        "grep ",
        "webhookd ready",
        "webhookd targets list",
    ];
    looks.iter().any(|look| command.starts_with(look))
        || command.starts_with("webhookd dead-letters list")
        || command.starts_with("curl ") && !command.contains("--data")
}

/// The programs that were left running, by their `.pid` files. Dropping it ends them.
struct Running<'a>(&'a Path);

impl Running<'_> {
    fn pids(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0).expect("the folder is there");
        let paths = entries.map(|entry| entry.expect("it can be listed").path());
        let files = paths.filter(|path| path.extension().is_some_and(|it| it == "pid"));
        files
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .map(|pid| pid.trim().to_owned())
            .collect()
    }

    /// Waits until what was killed has ended.
    fn wait_for_the_end_of(&self, command: &str) {
        for file in command.split("$(cat ").skip(1) {
            let name = file.split(')').next().expect("split gives one at least");
            let pid = std::fs::read_to_string(self.0.join(name)).expect("it was written");
            let start = Instant::now();
            while lives(pid.trim()) {
                assert!(start.elapsed() < DEADLINE, "{name} does not end");
                std::thread::yield_now();
            }
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        for pid in self.pids() {
            if lives(&pid) {
                drop(Command::new("kill").arg("-9").arg(pid).status());
            }
        }
    }
}

/// Who follows the steps in an empty folder.
pub(crate) struct Person<'a> {
    folder: &'a Folder,
    running: Running<'a>,
    /// Addresses that are written, and those that they have here.
    places: &'a [(&'a str, &'a str)],
    /// Of the program.
    bin: Folder,
}

impl<'a> Person<'a> {
    pub(crate) fn new(folder: &'a Folder, places: &'a [(&'a str, &'a str)]) -> Person<'a> {
        let bin = Folder::new();
        symlink(webhookd(), bin.path().join("webhookd")).expect("a link can be made");
        Person {
            running: Running(folder.path()),
            folder,
            places,
            bin,
        }
    }

    /// Does all steps, and returns how many commands these were. `observe` is called before each
    /// command and after it.
    pub(crate) fn follow(
        &self,
        steps: BTreeMap<usize, Step>,
        mut observe: impl FnMut(&str, bool),
    ) -> usize {
        let mut typed = 0;
        for step in steps.into_values() {
            match step {
                Step::Save { name, mut content } => {
                    for (written, real) in self.places {
                        content = content.replace(written, real);
                    }
                    self.folder.write(&name, content);
                }
                Step::Type(transcript) => {
                    typed += 1;
                    let command = transcript.command.clone();
                    observe(&command, false);
                    self.run(transcript);
                    observe(&command, true);
                }
            }
        }
        typed
    }

    fn run(&self, mut transcript: Transcript) {
        let command = transcript.command.clone();
        let path = format!("PATH={}:$PATH; ", self.bin.path().display());
        transcript.command.insert_str(0, &path);
        let start = Instant::now();
        while let Err(difference) = transcript.run(self.folder.path(), self.places) {
            assert!(
                only_looks(&command) && start.elapsed() < DEADLINE,
                "{difference}\n{}",
                self.logs()
            );
        }
        if command.starts_with("kill ") {
            self.running.wait_for_the_end_of(&command);
        }
    }

    fn logs(&self) -> String {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder is there");
        let paths = entries.map(|entry| entry.expect("it can be listed").path());
        let logs = paths.filter(|path| path.extension().is_some_and(|it| it == "log"));
        let logs = logs.filter_map(|path| {
            let text = std::fs::read_to_string(&path).ok()?;
            Some(format!("{}:\n{text}", path.display()))
        });
        logs.collect()
    }
}

/// Whether a process runs. A zombie does not.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some(None | Some('Z')))
}

fn scrape(admin: &str) -> String {
    let url = format!("http://{admin}/metrics");
    let output = tool("curl", ["-sS", &url]).expect("it was there before");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).expect("metrics are text")
}

#[test]
fn who_follows_the_manual_from_the_top_gets_to_a_replayed_dead_letter() {
    if !has_curl() || tool("openssl", ["version"]).is_none() {
        return;
    }
    let manual = std::fs::read_to_string(repository("docs/operations.md")).expect("it is there");
    let steps = steps(&section(&manual, "\n## The first event\n"));
    let ports = free_ports().take(3).map(|port| format!("127.0.0.1:{port}"));
    let ports: Vec<String> = ports.collect();
    let [receiver, ingest, admin] = ports.as_slice() else {
        panic!("there are no free ports");
    };
    let places = [
        ("127.0.0.1:5000", receiver.as_str()),
        ("127.0.0.1:8080", ingest.as_str()),
        ("127.0.0.1:9480", admin.as_str()),
    ];
    let folder = Folder::new();
    let person = Person::new(&folder, &places);
    let (mut before, mut after) = (String::new(), String::new());
    let typed = person.follow(steps, |command, is_done| {
        if !is_done && command.starts_with("kill ") && before.is_empty() {
            before = scrape(admin);
        }
        if is_done && command.contains("webhookd_dead_letters_total") {
            after = scrape(admin);
        }
    });
    assert!(typed > 15, "{typed} commands");
    the_alert_fires(&before, &after);
}

/// The rules are given what was scraped: nothing fires before, and one alert after.
fn the_alert_fires(before: &str, after: &str) {
    let samples = |scraped: &str| -> BTreeMap<String, String> {
        let lines = scraped.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| line.rsplit_once(' '));
        let own = r#"instance="here",job="webhookd""#;
        let series = |name: &str| match name.split_once('{') {
            Some((name, labels)) => format!("{name}{{{own},{labels}"),
            None => format!("{name}{{{own}}}"),
        };
        samples
            .map(|(name, value)| (series(name), value.to_owned()))
            .collect()
    };
    let (before, after) = (samples(before), samples(after));
    assert!(before.len() > 30, "{before:?}");
    let rules = repository("docs/monitoring/alerts.yml");
    let rules = rules.canonicalize().expect("the rules are there");
    let text = std::fs::read_to_string(&rules).expect("the rules can be read");
    let mut test = format!(
        "rule_files: [{}]\ntests:\n  - interval: 1m\n",
        rules.display()
    );
    test.push_str("    input_series:\n");
    let up = r#"up{instance="here",job="webhookd"}"#;
    writeln!(test, "      - {{ series: '{up}', values: '1x3' }}").expect("a String takes it");
    for (series, value) in &after {
        let first = before.get(series).map_or("_", String::as_str);
        writeln!(
            test,
            "      - {{ series: '{series}', values: '{first} {value}x2' }}"
        )
        .expect("a String takes it");
    }
    test.push_str("    alert_rule_test:\n");
    let alerts = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        for time in ["0m", "2m"] {
            let fires = alert == "WebhookdDeadLetters" && time == "2m";
            let expected = if fires {
                "\n          - exp_labels: { severity: warning, instance: here, job: webhookd, \
                 target: audit, reason: attempts-exhausted }\n            exp_annotations: { \
                 summary: Events for target audit were given up (attempts-exhausted), description: \
                 \"They are kept as dead letters, and can be replayed.\", runbook_url: \
                 \"operations.md#webhookddeadletters\" }"
            } else {
                "[]"
            };
            writeln!(
                test,
                "      - alertname: {alert}\n        eval_time: {time}\n        exp_alerts: {expected}"
            )
            .expect("a String takes it");
        }
    }
    let folder = Folder::new();
    let file = folder.write("scraped.test.yml", test);
    let args = ["test".as_ref(), "rules".as_ref(), file.as_os_str()];
    let Some(output) = tool("promtool", args) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn each_command_in_the_manual_is_one() {
    let manual = std::fs::read_to_string(repository("docs/operations.md")).expect("it is there");
    let mut inside = false;
    let mut seen = 0;
    for line in manual.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
        }
        let Some(command) = line.strip_prefix("webhookd ").filter(|_| inside) else {
            continue;
        };
        let words = command.split_whitespace();
        let words =
            words.take_while(|word| word.chars().all(|it| it.is_ascii_lowercase() || it == '-'));
        let words: Vec<&str> = words.take_while(|word| !word.starts_with('-')).collect();
        let help = Launch::new()
            .args(&words)
            .arg("--help")
            .run("")
            .expect_code(0);
        let help = String::from_utf8(help.stdout).expect("it prints text");
        let options = command
            .split_whitespace()
            .filter(|word| word.starts_with("--"));
        for option in options {
            assert!(help.contains(option), "{line}: no {option} in\n{help}");
        }
        seen += 1;
    }
    assert!(seen > 10, "{seen} commands");
}
