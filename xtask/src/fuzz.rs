//! Runs the targets of `tests/fuzz` under libFuzzer: on their seeds, on what was found before, and on
//! mutations of both that reach new code. It takes no nightly toolchain: the flags that count the
//! reached code are those of the stable compiler, and only the sanitizers, of which code without
//! `unsafe` has no use, are not.

use crate::tools::{self, Outcome};
use crate::workspace::{self, say};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// Counts the edges of the control flow, and shows the engine what is compared.
const INSTRUMENTED: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Seconds for one input, and mebibytes for the process: an input that takes more is a finding.
const BOUNDS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=1024"];
/// Lines of a failed run's log that are shown.
const SHOWN: usize = 60;

/// Run the fuzz targets under libFuzzer
///
/// Inputs that reach new code are kept in `target/fuzz/corpus`, and the next run begins with them.
#[derive(Debug, clap::Args)]
pub(crate) struct FuzzArgs {
    /// These targets; all by default
    targets: Vec<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Targets that run at once
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// The seed of the random numbers; by default of the time
    #[arg(long)]
    seed: Option<u32>,
}

/// A target, as the package lists it.
#[derive(Clone, Debug)]
struct Target {
    name: String,
    longest: String,
}

/// The two programs that a run takes.
struct Programs {
    /// Lists the targets and writes seeds.
    fuzz: PathBuf,
    /// The engine, with the targets.
    engine: PathBuf,
}

/// `cargo xtask fuzz`.
pub(crate) fn run(args: &FuzzArgs) -> Result<ExitCode> {
    if let Outcome::LeftOut(why) = all(args)? {
        bail!(why);
    }
    Ok(ExitCode::SUCCESS)
}

/// The short form, for ci. Its random numbers are always the same, so that a change is not refused for what
/// another one brought in: that is found by hand.
pub(crate) fn check() -> Result<Outcome> {
    all(&FuzzArgs {
        targets: Vec::new(),
        seconds: 30,
        jobs: 2,
        seed: Some(1),
    })
}

fn all(args: &FuzzArgs) -> Result<Outcome> {
    if !tools::CXX.ensure() {
        return Ok(Outcome::LeftOut("libFuzzer needs a C++ compiler"));
    }
    let programs = Programs {
        fuzz: workspace::build("fuzz", "dev"),
        engine: engine()?,
    };
    let chosen = chosen(&programs.fuzz, &args.targets)?;
    let seed = args.seed.unwrap_or_else(now);
    say(&format!("-seed={seed}, {} s for each target", args.seconds));
    let (waiting, failed) = (Mutex::new(chosen.into_iter()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let next = waiting.lock().expect("no thread panics with it").next();
            let Some(target) = next else { return };
            if let Err(why) = fuzz(&programs, &target, args.seconds, seed) {
                say(&format!("{}: {why:#}", target.name));
                failed
                    .lock()
                    .expect("no thread panics with it")
                    .push(target.name);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().expect("no thread panics with it");
    if !failed.is_empty() {
        bail!("targets that broke a promise: {}", failed.join(", "));
    }
    Ok(Outcome::Passed)
}

/// Builds the engine and all that it runs with counters, apart from other builds. With `--target`,
/// build scripts and macros get no counters.
fn engine() -> Result<PathBuf> {
    let version = Command::new("rustc").arg("-vV").output();
    let version = version.context("cannot start rustc")?.stdout;
    let version = String::from_utf8(version).context("rustc")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc -vV names no host")?;
    let folder = folder();
    let status = workspace::cargo()
        .env("RUSTFLAGS", INSTRUMENTED)
        .args(["build", "--quiet", "--locked", "--package", "fuzz"])
        .args(["--profile", "fuzz", "--features", "libfuzzer"])
        .args(["--bin", "libfuzzer", "--target", host, "--target-dir"])
        .arg(&folder)
        .status();
    if !status.context("cannot start cargo")?.success() {
        bail!("the fuzz targets do not build");
    }
    Ok(folder.join(host).join("fuzz/libfuzzer"))
}

/// The targets of these names, or all.
fn chosen(program: &Path, names: &[String]) -> Result<Vec<Target>> {
    let list = Command::new(program).arg("list").output();
    let list = String::from_utf8(list.context("cannot list the targets")?.stdout)?;
    let target = |(name, longest): (&str, &str)| Target {
        name: name.to_owned(),
        longest: longest.to_owned(),
    };
    let all: Vec<Target> = list
        .lines()
        .filter_map(|it| it.split_once(' '))
        .map(target)
        .collect();
    if names.is_empty() {
        return Ok(all);
    }
    let named = |name: &String| {
        all.iter()
            .find(|it| it.name == *name)
            .cloned()
            .with_context(|| {
                let all: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
                format!("there is no target {name}; there are {}", all.join(", "))
            })
    };
    names.iter().map(named).collect()
}

/// Runs one target, and shows what it came to.
fn fuzz(programs: &Programs, target: &Target, seconds: u32, seed: u32) -> Result<()> {
    let name = target.name.as_str();
    let folder = |kind: &str| -> Result<PathBuf> {
        let folder = folder().join(kind).join(name);
        fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        Ok(folder)
    };
    let (corpus, seeds, found) = (folder("corpus")?, folder("seeds")?, folder("found")?);
    let status = Command::new(&programs.fuzz)
        .args(["seeds", name])
        .arg(&seeds)
        .status();
    if !status?.success() {
        bail!("its seeds cannot be written");
    }
    let log = seeds.with_extension("log");
    let mut command = Command::new(&programs.engine);
    command
        .env("FUZZ_TARGET", name)
        .args([&corpus, &seeds])
        .args(Some(testkit::fixture("fuzz").join(name)).filter(|it| it.exists()))
        .args(BOUNDS)
        .arg(format!("-max_len={}", target.longest))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-seed={seed}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg("-print_final_stats=1")
        .stdout(File::create(&log)?)
        .stderr(File::options().append(true).open(&log)?);
    let status = command.status().context("cannot start the engine")?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    if status.success() {
        say(&format!("{name}: {}", summary(&text)));
        return Ok(());
    }
    let lines: Vec<&str> = text.lines().collect();
    let input = lines
        .iter()
        .find_map(|line| Some(line.split_once("Test unit written to ")?.1));
    let again = input.map_or_else(String::new, |input| {
        format!("\nrun it again: cargo run --package fuzz -- run {name} {input}")
    });
    bail!(
        "it ended with {status}, -seed={seed}, and its log {} ends with\n{}{again}",
        log.display(),
        lines[lines.len().saturating_sub(SHOWN)..].join("\n"),
    )
}

/// The figures of a run: how many inputs it tried, and how much code they reached.
fn summary(log: &str) -> String {
    let of = |name: &str| {
        let after = log
            .rsplit(name)
            .next()
            .filter(|rest| rest.len() < log.len());
        after
            .and_then(|rest| rest.split_whitespace().next())
            .unwrap_or("?")
    };
    format!(
        "{} inputs, {}/s, {} edges, {} features",
        of("stat::number_of_executed_units:"),
        of("stat::average_exec_per_sec:"),
        of(" cov: "),
        of(" ft: "),
    )
}

/// What belongs to fuzzing, all of it below `target`.
fn folder() -> PathBuf {
    workspace::root().join("target/fuzz")
}

fn now() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |now| now.subsec_nanos() ^ now.as_secs() as u32)
}
