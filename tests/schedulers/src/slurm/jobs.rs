//! The jobs, and the records that Slurm makes of their ends.

use super::cluster::Cluster;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// How many records of each job name and state there must be.
pub(crate) type Expected = BTreeMap<(String, String), usize>;

/// A job's script has this secret, which `omit` must keep from receivers.
pub(crate) const SECRET: &str = "hunter2";

/// Long enough to be running when it is cancelled, and no longer than the test.
const LONG: &str = "sleep 120";

/// Submits jobs, and notes which records they must lead to.
#[derive(Debug)]
pub(crate) struct Jobs<'a> {
    cluster: &'a Cluster,
    expected: Expected,
}

impl<'a> Jobs<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Jobs<'a> {
        let expected = Expected::new();
        Jobs { cluster, expected }
    }

    pub(crate) fn expected(self) -> Expected {
        self.expected
    }

    fn expect(&mut self, name: &str, state: &str, count: usize) {
        let key = (name.to_owned(), state.to_owned());
        *self.expected.entry(key).or_default() += count;
    }

    fn submit(&mut self, name: &str, options: &[&str], script: &str, state: &str) -> u32 {
        self.expect(name, state, 1);
        let args = [&["--job-name", name], options, &["--wrap", script]].concat();
        self.cluster.submit(&args)
    }

    /// Fifteen jobs that end in every way, but for a time limit: the least limit is a minute.
    pub(crate) fn of_every_end(&mut self) {
        self.submit("ok", &[], "true", "COMPLETED");
        self.submit(
            "secret",
            &[],
            &format!("PASSWORD={SECRET} true"),
            "COMPLETED",
        );
        let failed = self.submit("failed", &[], "exit 3", "FAILED");
        self.submit("crashed", &[], "kill -SEGV $$", "FAILED");
        let never = [
            &format!("--dependency=afterok:{failed}"),
            "--kill-on-invalid-dep=yes",
        ];
        self.submit("dependent", &never, "true", "CANCELLED");
        self.submit("naïve-größe-日本 \"q\"", &[], "true", "COMPLETED");
        self.not_utf8();
        self.long_script();
        let halves = "exit $((SLURM_ARRAY_TASK_ID % 2))";
        self.submit("array", &["--array=0-3"], halves, "FAILED");
        self.expect("array", "FAILED", 1);
        self.expect("array", "COMPLETED", 2);
        let held = self.submit("held", &["--hold"], "true", "CANCELLED");
        self.cancel(held);
        self.cancelled_while_it_runs();
        let requeued = self.submit("requeued", &["--requeue"], LONG, "CANCELLED");
        self.cluster.wait_for_state(requeued, "R");
        self.cluster
            .ask("scontrol", &["requeue", &requeued.to_string()]);
        self.expect("requeued", "PENDING", 1);
        self.cluster.wait_for_state(requeued, "PD");
        self.cancel(requeued);
    }

    /// Five jobs.
    pub(crate) fn of_some_ends(&mut self) {
        self.submit("ok", &[], "true", "COMPLETED");
        self.submit("größe", &[], "true", "COMPLETED");
        self.submit("failed", &[], "exit 4", "FAILED");
        self.submit("crashed", &[], "kill -ABRT $$", "FAILED");
        self.cancelled_while_it_runs();
    }

    fn cancelled_while_it_runs(&mut self) {
        let running = self.submit("running", &[], LONG, "CANCELLED");
        self.cluster.wait_for_state(running, "R");
        self.cancel(running);
    }

    fn cancel(&self, job: u32) {
        self.cluster.ask("scancel", &[job.to_string()]);
    }

    /// Slurm posts the name as it is. `invalidUtf8: replace` makes U+FFFD of the byte.
    fn not_utf8(&mut self) {
        let name = OsStr::from_bytes(b"caf\xe9");
        let option = OsStr::new("--job-name");
        let wrap = ["--wrap", "exit 1"].map(OsStr::new);
        self.cluster.submit(&[option, name, wrap[0], wrap[1]]);
        self.expect("caf\u{fffd}", "FAILED", 1);
    }

    /// Slurm posts the whole script: 2 MB, with `Expect: 100-continue`.
    fn long_script(&mut self) {
        let script = format!("#!/bin/sh\ntrue\n#{}\n", "\"".repeat(1_000_000));
        let path = self.cluster.folder().join("long.sh");
        std::fs::write(&path, script).expect("the folder takes files");
        let path = path.to_str().expect("a temporary path is text");
        self.cluster.submit(&["--job-name", "long", path]);
        self.expect("long", "COMPLETED", 1);
    }
}
