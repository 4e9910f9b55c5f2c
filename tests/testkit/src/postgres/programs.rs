//! PostgreSQL's programs, and the data directory that each server begins with.

use super::{NAME, PASSWORD};
use crate::{Launch, repository};
use std::fs::{File, create_dir_all, read_dir, read_to_string, remove_dir_all, rename, write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs of one version, and the user that runs them.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    folder: PathBuf,
    /// The user and the group `postgres`, if this is root: PostgreSQL refuses to run as root.
    user: Option<(u32, u32)>,
}

impl Programs {
    /// Those in the path, else the newest of `/usr/lib/postgresql`.
    pub(super) fn find() -> Result<Programs, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let installed = read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten();
        let mut installed: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin")).collect();
        installed.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
        let initdb = std::env::split_paths(&path)
            .chain(installed)
            // A link in the path leads to a folder that has all of the programs.
            .find_map(|folder| folder.join("initdb").canonicalize().ok())
            .ok_or("PostgreSQL is not installed: no initdb in the path or /usr/lib/postgresql")?;
        let folder = initdb.with_file_name("");
        let user = match rustix::process::geteuid().is_root() {
            false => None,
            true => Some(postgres_user().ok_or("there is no user postgres to run it as")?),
        };
        Ok(Programs { folder, user })
    }

    /// A program, as the user of the server, in English.
    pub(super) fn launch(&self, program: &str) -> Launch {
        let launch = Launch::of(self.folder.join(program)).env("LC_MESSAGES", "C");
        let launch = launch.current_dir(Path::new("/"));
        match self.user {
            None => launch,
            Some((user, group)) => launch.user(user, group),
        }
    }

    /// Hands a path to the user of the server.
    pub(super) fn own(&self, path: &Path) {
        if let Some((user, group)) = self.user {
            chown(path, Some(user), Some(group)).expect("root can give files away");
        }
    }

    /// Puts a copy of the template there: the data directory of a server that was not started yet,
    /// with the database and its owner. A copy takes a twentieth of the time that `initdb` takes.
    pub(super) fn copy_template(&self, to: &Path) {
        let templates = repository("target/postgres");
        create_dir_all(&templates).expect("the target directory can be written to");
        // Tests run side by side; one of them makes the template.
        let lock = File::create(templates.join("lock")).expect("the target directory takes files");
        lock.lock().expect("a file can be locked");
        let output = Command::new(self.folder.join("postgres"))
            .arg("--version")
            .output();
        let version = String::from_utf8(output.expect("it starts").stdout).expect("it is a text");
        let template = templates.join(version.trim().replace(['/', ' '], "-"));
        if !template.exists() {
            self.make_template(to);
            let unfinished = templates.join("unfinished");
            // A process that was killed may have left a part of it.
            drop(remove_dir_all(&unfinished));
            copy(to, &unfinished);
            rename(unfinished, template).expect("the target directory can be written to");
            return;
        }
        drop(lock);
        copy(&template, to);
    }

    fn make_template(&self, data: &Path) {
        let initdb = self.launch("initdb").arg("-D").arg(data);
        let initdb = initdb.args(["--no-sync", "--username=postgres", "--encoding=UTF8"]);
        let initdb = initdb.args(["--locale=C", "--auth=scram-sha-256"]);
        // The superuser has no password, and is let in by the socket alone.
        initdb.arg("--auth-local=trust").run("").expect_code(0);
        let hba = data.join("pg_hba.conf");
        let rules = read_to_string(&hba).expect("initdb writes it");
        let rules = rules.replace(
            "local   all             all  ",
            "local   all             postgres",
        );
        let rules = format!("{rules}\nlocal all all scram-sha-256\n");
        write(hba, rules).expect("root can write it");
        for sql in [
            format!("CREATE ROLE {NAME} LOGIN PASSWORD '{PASSWORD}'"),
            format!("CREATE DATABASE {NAME} OWNER {NAME}"),
        ] {
            let single = self
                .launch("postgres")
                .args(["--single", "-j", "-D"])
                .arg(data);
            let ended = single.arg("postgres").run(sql).expect_code(0);
            assert!(!ended.stderr.contains("ERROR"), "{}", ended.stderr);
        }
    }
}

/// The version that is in the name of the folder above.
fn version(folder: &Path) -> Option<u32> {
    folder.parent()?.file_name()?.to_str()?.parse().ok()
}

/// The user and the group `postgres`.
fn postgres_user() -> Option<(u32, u32)> {
    let users = read_to_string("/etc/passwd").ok()?;
    let mut fields = users
        .lines()
        .find(|line| line.starts_with("postgres:"))?
        .split(':')
        .skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Copies a folder with the owners and modes of its files.
fn copy(from: &Path, to: &Path) {
    let mut cp = Command::new("cp");
    let status = cp.args(["-a", "--reflink=auto"]).args([from, to]).status();
    assert!(
        status.expect("cp starts").success(),
        "{} is not copied",
        from.display()
    );
}
