//! One node of Slurm, in a folder, on 127.0.0.1.

use crate::wait::wait_for;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::{Launch, Process, Signal, free_port};

/// How long a command of Slurm may take. Each asks slurmctld, so a slurmctld that hangs fails the
/// test.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// How long slurmctld may take to end: it waits for its thread that posts, which sleeps for up to
/// half a minute.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// munged, slurmctld and slurmd. Dropping it cancels all jobs and kills the three.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    slurmctld: Option<Process>,
    /// slurmd and munged, in this order.
    others: Vec<Process>,
}

impl Cluster {
    /// Starts one that posts ended jobs to `url`, and returns once its node is idle.
    pub(crate) fn start(folder: &Path, url: &str) -> Cluster {
        for name in ["state", "spool", "run"] {
            let path = folder.join(name);
            std::fs::create_dir(&path).expect("the folder is new");
            // munged refuses a folder that others may write to, or that they cannot enter.
            set_mode(&path, 0o755);
        }
        set_mode(folder, 0o755);
        let key = folder.join("munge.key");
        std::fs::write(&key, random_bytes()).expect("the folder takes files");
        set_mode(&key, 0o400);
        std::fs::write(folder.join("slurm.conf"), config(folder, url))
            .expect("the folder takes files");
        let mut cluster = Cluster {
            folder: folder.to_owned(),
            slurmctld: None,
            others: Vec::new(),
        };
        let option = |name: &str, file: &str| format!("--{name}={}", folder.join(file).display());
        let munged = Launch::of("munged")
            .args(["--foreground", "--force"])
            .arg(option("key-file", "munge.key"))
            .arg(option("socket", "run/munge.socket"))
            .arg(option("pid-file", "munged.pid"))
            .arg(option("seed-file", "munged.seed"))
            .spawn();
        cluster.others.push(munged);
        let socket = folder.join("run/munge.socket");
        wait_for("munged", ANSWERS_WITHIN, || socket.exists().then_some(()));
        cluster.slurmctld = Some(cluster.program("slurmctld").args(["-D", "-c"]).spawn());
        let slurmd = cluster
            .program("slurmd")
            .args(["-D", "-N", "node0"])
            .spawn();
        cluster.others.insert(0, slurmd);
        wait_for("an idle node", ENDS_WITHIN, || {
            let state = cluster.try_to_ask("sinfo", &["-h", "-o", "%T"])?;
            state.contains("idle").then_some(())
        });
        cluster
    }

    fn program(&self, name: &str) -> Launch {
        let config = self.folder.join("slurm.conf");
        Launch::of(name)
            .env(
                "SLURM_CONF",
                config.to_str().expect("a temporary path is text"),
            )
            .current_dir(&self.folder)
    }

    /// Runs a command of Slurm and returns what it prints.
    ///
    /// # Panics
    ///
    /// The command fails, or slurmctld does not answer it in time.
    pub(crate) fn ask<S: AsRef<OsStr>>(&self, command: &str, args: &[S]) -> String {
        let ended = self.program(command).args(args).spawn();
        let ended = ended.wait_at_most(ANSWERS_WITHIN).expect_code(0);
        String::from_utf8(ended.stdout).expect("it prints text")
    }

    /// The same for a command that may fail; `None` then.
    fn try_to_ask(&self, command: &str, args: &[&str]) -> Option<String> {
        let ended = self.program(command).args(args).spawn();
        let ended = ended.wait_at_most(ANSWERS_WITHIN);
        (ended.code == Some(0)).then(|| String::from_utf8_lossy(&ended.stdout).into_owned())
    }

    /// Submits a batch job and returns its number.
    pub(crate) fn submit<S: AsRef<OsStr>>(&self, args: &[S]) -> u32 {
        let options = ["--parsable", "--ntasks=1", "--output=/dev/null"];
        let options = options.iter().map(OsStr::new);
        let args: Vec<_> = options.chain(args.iter().map(AsRef::as_ref)).collect();
        let number = self.ask("sbatch", &args);
        number.trim().parse().expect("sbatch prints a number")
    }

    /// Waits until a job is in a state, by squeue's letters.
    pub(crate) fn wait_for_state(&self, job: u32, state: &str) {
        let job = job.to_string();
        wait_for(&format!("job {job} in {state}"), ENDS_WITHIN, || {
            let listed = self.ask("squeue", &["-h", "-j", &job, "-t", state, "-o", "%i"]);
            (!listed.trim().is_empty()).then_some(())
        });
    }

    /// Waits until no job waits or runs.
    pub(crate) fn wait_for_the_end_of_all(&self) {
        wait_for("the end of all jobs", ENDS_WITHIN, || {
            self.ask("squeue", &["-h"]).trim().is_empty().then_some(())
        });
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What slurmctld has logged since its start.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.folder.join("slurmctld.log")).expect("it writes a log");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Ends slurmctld by SIGTERM.
    ///
    /// # Panics
    ///
    /// It does not end in time, or not with exit code 0.
    pub(crate) fn stop(mut self) {
        let slurmctld = self.slurmctld.take().expect("it runs until here");
        slurmctld.signal(Signal::TERM);
        slurmctld.wait_at_most(ENDS_WITHIN).expect_code(0);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.slurmctld.is_some() {
            // A job outlives slurmd otherwise, until its own end.
            let cancel = self.program("scancel").arg("--user=root").spawn();
            cancel.has_ended(ANSWERS_WITHIN);
        }
    }
}

fn random_bytes() -> [u8; 1024] {
    let mut bytes = [0; 1024];
    let mut random = File::open("/dev/urandom").expect("the system has it");
    random.read_exact(&mut bytes).expect("it never ends");
    bytes
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("the file is ours");
}

/// slurm.conf. Nothing in it is specific to webhookd but the last three lines.
fn config(folder: &Path, url: &str) -> String {
    let host = Launch::of("hostname").arg("-s").run("").expect_code(0);
    // slurmctld ends unless its host has the name of this machine.
    let host = String::from_utf8(host.stdout).expect("a host name is text");
    let host = host.trim();
    let folder = folder.display();
    let mut config = format!(
        "ClusterName=test\n\
         SlurmctldHost={host}(127.0.0.1)\n\
         NodeName=node0 NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=256\n\
         PartitionName=debug Nodes=node0 Default=YES MaxTime=60 OverSubscribe=FORCE:4\n\
         SlurmctldPort={}\n\
         SlurmdPort={}\n\
         AuthInfo=socket={folder}/run/munge.socket\n",
        free_port(),
        free_port(),
    );
    let files = [
        ("StateSaveLocation", "state"),
        ("SlurmdSpoolDir", "spool"),
        ("SlurmctldPidFile", "slurmctld.pid"),
        ("SlurmdPidFile", "slurmd.pid"),
        ("SlurmctldLogFile", "slurmctld.log"),
        ("SlurmdLogFile", "slurmd.log"),
    ];
    for (key, file) in files {
        writeln!(config, "{key}={folder}/{file}").expect("a String takes it");
    }
    // Users, cgroups and mail are left alone. Jobs start at once, and end at once when cancelled.
    config.push_str(
        "SlurmUser=root\n\
         SlurmdUser=root\n\
         AuthType=auth/munge\n\
         CredType=cred/munge\n\
         CommunicationParameters=NoInAddrAny,NoCtldInAddrAny\n\
         ProctrackType=proctrack/linuxproc\n\
         TaskPlugin=task/none\n\
         SwitchType=switch/none\n\
         MpiDefault=none\n\
         MailProg=/bin/true\n\
         SelectType=select/cons_tres\n\
         SelectTypeParameters=CR_Core\n\
         SchedulerParameters=batch_sched_delay=0,sched_interval=2\n\
         ReturnToService=2\n\
         KillWait=2\n\
         SlurmctldDebug=verbose\n",
    );
    // With this flag slurmctld logs each record that the plugin posted, and each that it will
    // post again.
    writeln!(
        config,
        "DebugFlags=Elasticsearch\nJobCompType=jobcomp/elasticsearch\nJobCompLoc={url}"
    )
    .expect("a String takes it");
    config
}
