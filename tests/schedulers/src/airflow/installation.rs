//! Airflow with its API server, its scheduler and SQLite, in a folder, on 127.0.0.1.

use crate::wait::wait_for;
use serde_json::Value;
use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::{Launch, Process, Python, Signal, free_port, repository};

/// How long a command or a DAG run may take. An idle machine of two cores needs some 20 seconds.
const ENDS_WITHIN: Duration = Duration::from_secs(300);

/// How long its programs may take to end.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// Settings that are the same in each run.
const SETTINGS: [(&str, &str); 8] = [
    ("API__HOST", "127.0.0.1"),
    ("API__WORKERS", "1"),
    ("API_AUTH__JWT_SECRET", SECRET),
    ("CORE__DAGS_ARE_PAUSED_AT_CREATION", "False"),
    ("CORE__HOSTNAME_CALLABLE", "socket.gethostname"),
    ("CORE__LOAD_EXAMPLES", "False"),
    ("CORE__PARALLELISM", "3"),
    ("USAGE_DATA_COLLECTION__ENABLED", "False"),
];

/// The API server listens on this machine only, and as long as the test runs.
const SECRET: &str = "a secret of sixty-four characters or more, which protects nothing here";

/// A running Airflow. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Airflow {
    folder: PathBuf,
    bin: PathBuf,
    port: u16,
    events: PathBuf,
    /// The scheduler, which starts the tasks, and the API server.
    programs: Vec<Process>,
}

/// The tries of a run's task instances: task, index of a mapped one, number, state.
pub(crate) type Tries = Vec<(String, i64, i64, String)>;

impl Airflow {
    /// Starts one whose listener appends to this file.
    pub(crate) fn start(python: &Python, folder: &Path, events: &Path) -> Airflow {
        let write = |name: &str, text: &[u8]| {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().expect("it is in the folder"))
                .expect("the folder takes folders");
            std::fs::write(path, text).expect("the folder takes files");
        };
        let listener = std::fs::read(repository("docs/schedulers/airflow_listener.py"))
            .expect("the documentation has it");
        write("plugins/airflow_listener.py", &listener);
        write("dags/demo.py", include_bytes!("dag.py"));
        write("instances.py", include_bytes!("instances.py"));
        let mut airflow = Airflow {
            folder: folder.to_owned(),
            bin: python.bin(),
            port: free_port(),
            events: events.to_owned(),
            programs: Vec::new(),
        };
        airflow.run(&["db", "migrate"]);
        airflow.start_program(&["api-server"]);
        airflow.run(&["dags", "reserialize"]);
        // A task that cannot reach the API server fails.
        wait_for("the API server", ENDS_WITHIN, || {
            TcpStream::connect(("127.0.0.1", airflow.port)).ok()
        });
        airflow.start_program(&["scheduler", "--skip-serve-logs"]);
        airflow
    }

    fn start_program(&mut self, args: &[&str]) {
        let program = self.command(args).spawn();
        // They are ended in this order: the scheduler before the API server.
        self.programs.insert(0, program);
    }

    /// An `airflow` command whose output goes to a file of its name.
    fn command(&self, args: &[&str]) -> Launch {
        let log = self.folder.join(format!("{}.log", args.join(" ")));
        let log = File::create(log).expect("the folder takes files");
        let path = std::env::var("PATH").unwrap_or_default();
        let port = self.port.to_string();
        let mut launch = Launch::of(self.bin.join("airflow"))
            .args(args)
            .current_dir(&self.folder)
            .output(log.try_clone().expect("a file can be opened twice"))
            .error(log)
            .env("PATH", &format!("{}:{path}", self.bin.display()))
            .env("AIRFLOW_HOME", &self.folder.display().to_string())
            .env("WEBHOOK_EVENTS", &self.events.display().to_string())
            .env("AIRFLOW__API__PORT", &port)
            .env(
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
                &format!("http://127.0.0.1:{port}/execution/"),
            );
        for (name, value) in SETTINGS {
            launch = launch.env(&format!("AIRFLOW__{name}"), value);
        }
        launch
    }

    fn run(&self, args: &[&str]) {
        let ended = self.command(args).spawn().wait_at_most(ENDS_WITHIN);
        let logs = self.folder.display();
        assert_eq!(ended.code, Some(0), "airflow {args:?} failed: see {logs}");
    }

    /// Starts a run of the DAG by the scheduler.
    pub(crate) fn trigger(&self, run: &str) {
        self.run(&["dags", "trigger", "demo", "--run-id", run]);
    }

    /// Waits until a run has ended, and returns the tries of its task instances.
    pub(crate) fn wait_for_the_end_of(&self, run: &str) -> Tries {
        wait_for(&format!("the end of run {run}"), ENDS_WITHIN, || {
            let (state, tries) = self.look_up(run);
            ["success", "failed"]
                .contains(&state.as_str())
                .then_some(tries)
        })
    }

    fn look_up(&self, run: &str) -> (String, Tries) {
        let ended = Launch::of(self.bin.join("python3"))
            .arg(self.folder.join("instances.py"))
            .arg(self.folder.join("airflow.db"))
            .arg(run)
            .run("")
            .expect_code(0);
        let found: Value = serde_json::from_slice(&ended.stdout).expect("it prints JSON");
        let state = found["state"].as_str().unwrap_or_default().to_owned();
        let tries = found["tries"].as_array().expect("a list").iter();
        let tries = tries.map(|it| {
            let text = |index: usize| it[index].as_str().unwrap_or_default().to_owned();
            let number = |index: usize| it[index].as_i64().expect("a number");
            (text(0), number(1), number(2), text(3))
        });
        (state, tries.collect())
    }
}

impl Drop for Airflow {
    fn drop(&mut self) {
        // By SIGTERM, so that they end the processes that they have started.
        for program in &self.programs {
            program.signal(Signal::TERM);
            program.has_ended(STOPS_WITHIN);
        }
    }
}
