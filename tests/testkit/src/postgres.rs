//! A PostgreSQL server of its own for a test, in a temporary folder.

mod programs;

use crate::packages::skip;
use crate::process::Seen;
use crate::{DEADLINE, Ended, Folder, Launch, Process, Signal};
use programs::Programs;
use std::fs::{Permissions, read_to_string, set_permissions, write};
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The name of the database, of the role that owns it, and the role's password.
const NAME: &str = "webhook";
const PASSWORD: &str = "pg-secret";

/// A PostgreSQL server with an empty database `webhook`, whose owner is the role `webhook`. It
/// listens on 127.0.0.1 and on a Unix socket in [its folder](Postgres::folder), and syncs its files
/// unless told otherwise. Dropping it kills the server and removes its files.
#[derive(Debug)]
pub struct Postgres {
    programs: Programs,
    port: u16,
    server: Option<Process>,
    /// Stops the server if this process ends without a chance to do so.
    guard: Option<Process>,
    /// Dropped after the server.
    folder: Folder,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// `pg_ctl stop -m fast`: rolls open transactions back and writes a checkpoint.
    Fast,
    /// `pg_ctl stop -m immediate`: every process of the server exits at once; the next start
    /// recovers from the write-ahead log.
    Immediate,
    /// SIGKILL to the first process of the server; the others exit once they notice.
    Kill,
}

impl Stop {
    fn signal(self) -> Signal {
        match self {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
            Stop::Kill => Signal::KILL,
        }
    }
}

impl Postgres {
    /// Why no server can be started here, if PostgreSQL is not installed.
    pub fn missing() -> Option<String> {
        Programs::find().err()
    }

    /// Starts a server with these lines in its postgresql.conf. `None`, and a line on standard
    /// error, where PostgreSQL is not installed.
    ///
    /// With `fsync = off` a commit is fast and a start after a crash takes no seconds, and no
    /// [`Stop`] loses anything: only a crash of the machine would.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is not installed and `CI` is set in the environment.
    pub fn start(settings: &[&str]) -> Option<Postgres> {
        let programs = match Programs::find() {
            Ok(programs) => programs,
            Err(why) => {
                skip(&why);
                return None;
            }
        };
        let folder = Folder::new();
        programs.own(folder.path());
        programs.copy_template(&folder.path().join("data"));
        let mut postgres = Postgres {
            programs,
            port: 0,
            server: None,
            guard: None,
            folder,
        };
        for setting in settings {
            postgres.set(setting);
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            postgres.port = port();
            match postgres.try_start_again() {
                Ok(()) => return Some(postgres),
                // Another process took the port before the server did.
                Err(log) if log.contains("could not bind") && Instant::now() < deadline => {}
                Err(log) => panic!("PostgreSQL does not start:\n{log}"),
            }
        }
    }

    /// Appends a line to its postgresql.conf, which holds from the next start on.
    pub fn set(&self, setting: &str) {
        let path = self.data().join("postgresql.conf");
        let settings = read_to_string(&path).expect("a server has settings");
        write(&path, format!("{settings}{setting}\n")).expect("its folder takes files");
    }

    /// Stops the server and waits for its end. Its port and its files stay.
    pub fn stop(&mut self, how: Stop) {
        self.guard = None;
        if let Some(server) = self.server.take() {
            server.signal(how.signal());
            server.wait();
        }
    }

    /// Starts the server again after [`Postgres::stop`].
    pub fn start_again(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let Err(log) = self.try_start_again() else {
                return;
            };
            // After a kill, the other processes of the server take a moment to notice.
            let is_passing = ["still in use", "already exists", "could not bind"];
            let is_passing = is_passing.iter().any(|text| log.contains(text));
            assert!(
                is_passing && Instant::now() < deadline,
                "PostgreSQL does not start again:\n{log}"
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Starts the server; what it wrote if it ended instead.
    fn try_start_again(&mut self) -> Result<(), String> {
        assert!(self.server.is_none(), "the server is running");
        let folder = self.folder.path().display();
        let server = self
            .programs
            .launch("postgres")
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .args(["-c", &format!("unix_socket_directories={folder}")])
            .spawn();
        let says = |seen: &Seen, text: &str| String::from_utf8_lossy(&seen.stderr).contains(text);
        let is_ready = |seen: &Seen| says(seen, "ready to accept connections");
        let seen = server
            .progress
            .wait(DEADLINE, |seen| is_ready(seen) || seen.status.is_some());
        let is_running = is_ready(&seen) && seen.status.is_none();
        drop(seen);
        if is_running {
            // Its input ends when this process does, also by a signal.
            let script = "trap '' TERM INT; read _; kill -QUIT $0";
            let guard = Launch::of("sh").args(["-c", script, &server.id().to_string()]);
            self.guard = Some(guard.spawn());
            self.server = Some(server);
            return Ok(());
        }
        server.signal(Signal::QUIT);
        Err(server.wait().stderr)
    }

    /// What it has written to its log since it was started.
    pub fn log(&self) -> String {
        self.server
            .as_ref()
            .map_or_else(String::new, Process::error_so_far)
    }

    /// The URL of the database, over TCP, with the owner's name and password.
    pub fn url(&self) -> String {
        self.url_as(NAME, PASSWORD, NAME)
    }

    /// The URL of a database for a role.
    pub fn url_as(&self, role: &str, password: &str, database: &str) -> String {
        format!(
            "postgres://{role}:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// The port of 127.0.0.1 that it listens on; it stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder that goes away with the server, which may read and write it. It holds the socket
    /// and `data`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Hands a file or a folder to the user that the server runs as. A file becomes readable for
    /// this user alone, as the server wants it of a private key.
    pub fn own(&self, path: &Path) {
        self.programs.own(path);
        if path.is_file() {
            set_permissions(path, Permissions::from_mode(0o600)).expect("its mode can be changed");
        }
    }

    /// Runs statements as a superuser in the database, each in a transaction of its own; the rows,
    /// with `|` between columns and a line feed between rows.
    ///
    /// # Panics
    ///
    /// If a statement fails.
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql)
            .unwrap_or_else(|error| panic!("`{sql}`: {error}"))
    }

    /// The same, with the server's error if a statement fails or the server is away.
    ///
    /// # Errors
    ///
    /// What `psql` wrote to standard error.
    pub fn try_query(&self, sql: &str) -> Result<String, String> {
        let Ended {
            code,
            stdout,
            stderr,
            ..
        } = self.psql().run(sql);
        if code != Some(0) {
            return Err(stderr);
        }
        let rows = String::from_utf8(stdout).expect("the database is in UTF-8");
        Ok(rows.trim_end_matches('\n').to_owned())
    }

    /// Opens a session of a superuser and runs statements in it, `BEGIN` among them, say. It stays
    /// open, and so does its transaction, until it is dropped.
    pub fn session(&self, sql: &str) -> Process {
        let mut session = self.psql().spawn();
        session.write(format!("{sql};\n\\echo done\n"));
        session.wait_for_output("done");
        session
    }

    /// Cuts the connections of the role `webhook` by `pg_terminate_backend`; how many there were.
    pub fn terminate_connections(&self) -> u64 {
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{NAME}'"
        );
        self.query(&sql).parse().expect("a count is a number")
    }

    fn psql(&self) -> Launch {
        let port = self.port.to_string();
        self.programs
            .launch("psql")
            .args([
                "-XAqt",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-p",
                &port,
                "-d",
                NAME,
            ])
            .arg("-h")
            .arg(self.folder.path())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.guard = None;
        let Some(server) = self.server.take() else {
            return;
        };
        // The server ends its other processes, so that nothing writes to the folder any more.
        server.signal(Signal::QUIT);
        server.has_ended(DEADLINE);
    }
}

/// A free port that the system gives to no outgoing connection, so that a server finds it free
/// again after a restart.
fn port() -> u16 {
    let range = read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let lowest = range
        .split_whitespace()
        .next()
        .and_then(|it| it.parse().ok());
    let ports = 10_000
        ..lowest
            .filter(|lowest| *lowest > 11_000)
            .unwrap_or(32_768_u64);
    loop {
        let random = RandomState::new().hash_one(()) % (ports.end - ports.start);
        let port = u16::try_from(ports.start + random).expect("a port has 16 bits");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(postgres: &Postgres) -> String {
        postgres.query("SELECT count(*) FROM t")
    }

    #[test]
    fn what_is_committed_is_there_after_each_kind_of_stop() {
        let Some(mut postgres) = Postgres::start(&["fsync = off", "work_mem = 5MB"]) else {
            return;
        };
        assert_eq!(postgres.query("SHOW work_mem"), "5MB");
        assert_eq!(postgres.query("CREATE TABLE t (i int)"), "");
        let port = postgres.port();
        for (at, how) in [Stop::Fast, Stop::Immediate, Stop::Kill]
            .into_iter()
            .enumerate()
        {
            postgres.query("INSERT INTO t VALUES (1)");
            let uncommitted = postgres.session("BEGIN; INSERT INTO t VALUES (2)");
            postgres.stop(how);
            let away = postgres.try_query("SELECT 1").unwrap_err();
            assert!(away.contains("connection to server"), "{away}");
            drop(uncommitted);
            postgres.start_again();
            assert_eq!(count(&postgres), (at + 1).to_string(), "after {how:?}");
            assert_eq!(postgres.port(), port);
        }
        let folder = postgres.folder().to_owned();
        drop(postgres);
        assert!(!folder.exists());
    }

    #[test]
    fn the_owner_connects_by_the_url_and_its_connections_can_be_cut() {
        let Some(postgres) = Postgres::start(&[]) else {
            return;
        };
        assert_eq!(postgres.query("SHOW fsync"), "on");
        let psql = |url: &str| postgres.programs.launch("psql").args(["-XAqt", url]);
        let ended = psql(&postgres.url()).run("CREATE TABLE t (i int); SELECT current_user");
        assert_eq!(ended.expect_code(0).stdout, b"webhook\n");
        let wrong = psql(&postgres.url_as("webhook", "wrong", "webhook")).run("SELECT 1");
        assert!(
            wrong.stderr.contains("password authentication failed"),
            "{}",
            wrong.stderr
        );

        assert_eq!(postgres.terminate_connections(), 0);
        let mut session = psql(&postgres.url()).spawn();
        session.write("\\echo ready\n");
        session.wait_for_output("ready");
        assert_eq!(postgres.terminate_connections(), 1);
        session.write("SELECT 1;\n");
        session.wait_for_error("terminating connection due to administrator command");
    }
}
