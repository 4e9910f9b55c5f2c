//! The receivers as processes.

use crate::SECRET;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::{FLASK, Folder, Launch, Process, Python, cargo, express, repository, skip};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    Node,
    Go,
    Rust,
}

/// A receiver with its folder, which outlives its process.
pub(crate) struct Program {
    language: Language,
    command: PathBuf,
    args: Vec<PathBuf>,
    modules: PathBuf,
    folder: Folder,
}

impl Program {
    /// `None`, and a line on standard error, without the language or its package.
    pub(crate) fn find(language: Language) -> Option<Program> {
        let folder = Folder::new();
        let source = |name: &str| repository("docs/receivers").join(name);
        let mut modules = PathBuf::new();
        let (command, args) = match language {
            Language::Python => {
                let python = needed(Python::with(&[FLASK]))?;
                (python.bin().join("python3"), vec![source("python/app.py")])
            }
            Language::Node => {
                needed(starts("node", "--version"))?;
                modules = needed(express())?;
                ("node".into(), vec![source("node/app.js")])
            }
            Language::Go => {
                needed(starts("go", "version"))?;
                let program = folder.path().join("receiver");
                let mut go = go();
                go.args(["build", "-o"]).arg(&program);
                let status = go.arg(source("go/main.go")).status();
                assert!(status.is_ok_and(|status| status.success()), "{go:?} failed");
                (program, Vec::new())
            }
            Language::Rust => (example(), Vec::new()),
        };
        folder.write("secret", format!("{SECRET}\n"));
        Some(Program {
            language,
            command,
            args,
            modules,
            folder,
        })
    }

    /// Starts it on a free port, and returns its URL.
    pub(crate) fn start(&self) -> (Process, String) {
        let path = |name| self.folder.path().join(name);
        let process = Launch::of(&self.command)
            .args(&self.args)
            .args([path("secret"), self.store()])
            .env("NODE_PATH", &self.modules.to_string_lossy())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .spawn();
        let url = process.told_url("listening on ");
        (process, url)
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// The ids and texts that it has stored.
    pub(crate) fn stored(&self) -> Vec<(String, String)> {
        let lines = match self.language {
            Language::Python => Python::with(&[FLASK]).unwrap().run(
                &format!(
                    "import json, sqlite3\n\
                     rows = sqlite3.connect({:?}).execute('SELECT id, body FROM events ORDER BY number')\n\
                     for id, body in rows: print(json.dumps(dict(id=id, body=body)))",
                    self.store()
                ),
                "",
            ),
            _ => std::fs::read_to_string(self.store()).unwrap(),
        };
        let field = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap().to_owned();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines
            .map(|line| (field(&line, "id"), field(&line, "body")))
            .collect()
    }

    /// Writes the beginning of a line, as a crash may leave it. A database does not have this.
    pub(crate) fn leave_half_a_line(&self) {
        use std::io::Write as _;
        if self.language != Language::Python {
            let file = std::fs::OpenOptions::new().append(true).open(self.store());
            file.unwrap().write_all(b"{\"id\":\"evt_").unwrap();
        }
    }

    /// Whether it answers 413 by `Content-Length` alone, without reading the body.
    pub(crate) fn refuses_by_length(&self) -> bool {
        self.language == Language::Python
    }
}

/// `None`, and a line on standard error with the reason, if it was not found; with CI set, the test fails.
pub(crate) fn needed<T>(found: Result<T, String>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(why) => {
            skip(&why);
            None
        }
    }
}

pub(crate) fn starts(program: &str, argument: &str) -> Result<(), String> {
    let status = Command::new(program)
        .arg(argument)
        .stdout(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("{program} cannot be started: {other:?}")),
    }
}

/// The `go` command, with its cache in the target directory and nothing from the network.
pub(crate) fn go() -> Command {
    let mut go = Command::new("go");
    go.env("GOCACHE", repository("target/go-cache"))
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "");
    go
}

/// The axum example of webhook-receiver, as cargo builds it.
fn example() -> PathBuf {
    let output = cargo()
        .args("build --locked -p webhook-receiver --example axum".split(' '))
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the example does not build");
    let messages = output.stdout.split(|byte| *byte == b'\n');
    messages
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .filter(|message| {
            message["target"]["name"] == "axum" && message["target"]["kind"][0] == "example"
        })
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the executable that it has built")
}

/// The source of a receiver.
pub(crate) fn source(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
