//! `fuzz list` prints the targets and the longest input of each; `fuzz seeds TARGET FOLDER` writes the
//! seeds of a target; `fuzz run TARGET FILE...` runs a target on inputs.

use anyhow::{Context, Result, bail};
use fuzz::{TARGETS, Target};
use std::io::Write;
use std::path::Path;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match &args[..] {
        ["list"] => {
            let mut out = std::io::stdout().lock();
            for target in TARGETS {
                writeln!(out, "{} {}", target.name, target.longest)?;
            }
            Ok(())
        }
        ["seeds", name, folder] => {
            let target = Target::named(name).with_context(|| format!("no target {name}"))?;
            std::fs::create_dir_all(folder)?;
            for (at, seed) in fuzz::seeds(target).iter().enumerate() {
                std::fs::write(Path::new(folder).join(format!("seed-{at}")), seed)?;
            }
            Ok(())
        }
        ["run", name, files @ ..] => {
            let target = Target::named(name).with_context(|| format!("no target {name}"))?;
            for file in files {
                target.check(&std::fs::read(file).with_context(|| format!("cannot read {file}"))?);
            }
            Ok(())
        }
        _ => bail!("usage: fuzz list | fuzz seeds TARGET FOLDER | fuzz run TARGET FILE..."),
    }
}
