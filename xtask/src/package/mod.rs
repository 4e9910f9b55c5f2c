//! `cargo xtask package` makes what is installed without building: a Debian package, a tarball, and the
//! content of the container image.

mod check;
mod content;

pub(crate) use check::check;

use crate::tools;
use crate::workspace::{self, say};
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use content::Content;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Make the Debian package, the tarball and the content of the container image
///
/// Builds webhookd and writes to target/package. Installs cargo-deb from crates.io if it is missing.
#[derive(Debug, clap::Args)]
pub(crate) struct PackageArgs {
    /// What to make [default: all]
    #[arg(value_enum, value_name = "PACKAGE")]
    packages: Vec<Package>,

    /// Install and run what was made, as root on Debian, with debootstrap, buildah and runc
    #[arg(long)]
    check: bool,

    /// The cargo profile to build webhookd with
    #[arg(long, default_value = "release", value_name = "NAME")]
    profile: String,

    /// Take this webhookd instead of building it
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    binary: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Package {
    /// A Debian package
    Deb,
    /// A tarball with the program, for any Linux whose C library is glibc
    Tarball,
    /// The content of the container image, for docs/packaging/Dockerfile
    Image,
}

/// Runs the command. Exits 1 if a package cannot be made, or a check fails.
pub(crate) fn run(args: &PackageArgs) -> Result<ExitCode> {
    let packages = match args.packages.as_slice() {
        [] => Package::value_variants(),
        some => some,
    };
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => workspace::build("webhookd", &args.profile),
    };
    let content = Content::write(&binary)?;
    for package in packages {
        let made = match package {
            Package::Deb => deb()?,
            Package::Tarball => tarball(&content)?,
            Package::Image => image(&content)?,
        };
        say(&format!("{} {}", made.display(), content.needs()?));
        if args.check {
            check::made(*package, &made)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where everything is written.
fn folder() -> PathBuf {
    workspace::root().join("target/package")
}

/// Makes the Debian package of `[package.metadata.deb]` in webhookd's `Cargo.toml`.
fn deb() -> Result<PathBuf> {
    ensure!(tools::CARGO_DEB.ensure(), "cargo-deb is not installed");
    let folder = folder().join("deb");
    emptied(&folder)?;
    let mut command = workspace::cargo();
    command.args("deb --no-build --no-strip --quiet --package webhookd --output".split(' '));
    command.arg(&folder);
    succeed(command.env("SOURCE_DATE_EPOCH", last_change()?))?;
    let made = workspace::files(&folder, |_| false)?;
    let made = made.into_iter().next();
    made.context("cargo deb has made no package")
}

/// Makes the folder that `docker build` is given.
fn image(content: &Content) -> Result<PathBuf> {
    let folder = folder().join("image");
    emptied(&folder)?;
    make(&folder.join("var/lib/webhookd"))?;
    copy(&content.program(), &folder.join("usr/bin/webhookd"))?;
    let license = workspace::root().join("LICENSE");
    copy(&license, &folder.join("usr/share/doc/webhookd/LICENSE"))?;
    Ok(folder)
}

/// Makes a tarball whose content is laid out as in `/usr/local`, but for what is in `packaging`.
///
/// The program is not static: a static glibc loads the modules that a machine's /etc/nsswitch.conf names,
/// and crashes if they are of another glibc. musl was not tried.
fn tarball(content: &Content) -> Result<PathBuf> {
    let name = format!("webhookd-{}-{}", content.version()?, target()?);
    let folder = folder().join("tarball");
    emptied(&folder)?;
    let top = folder.join(&name);
    copy(&content.program(), &top.join("bin/webhookd"))?;
    for page in workspace::files(&content.folder().join("man"), |_| false)? {
        let name = page.file_name().unwrap_or_default();
        copy(&page, &top.join("share/man/man1").join(name))?;
    }
    for (shell, path) in [
        ("webhookd.bash", "bash-completion/completions/webhookd"),
        ("_webhookd", "zsh/site-functions/_webhookd"),
        ("webhookd.fish", "fish/vendor_completions.d/webhookd.fish"),
    ] {
        let completion = content.folder().join("completions").join(shell);
        copy(&completion, &top.join("share").join(path))?;
    }
    for file in ["LICENSE", "CHANGELOG.md"] {
        copy(&workspace::root().join(file), &top.join(file))?;
    }
    for file in ["webhookd.service", "webhookd.socket", "webhook.json"] {
        let from = workspace::root().join("docs/packaging").join(file);
        copy(&from, &top.join("packaging").join(file))?;
    }
    let path = folder.join(format!("{name}.tar.gz"));
    // The same content gives the same bytes.
    let mut command = Command::new("tar");
    command.args(["--sort=name", "--owner=root:0", "--group=root:0"]);
    command.arg(format!("--mtime=@{}", last_change()?));
    command.args(["--use-compress-program", "gzip -n", "-cf"]);
    succeed(command.arg(&path).arg("-C").arg(&folder).arg(&name))?;
    Ok(path)
}

/// The compiler's name of this machine, which is what is built for.
fn target() -> Result<String> {
    let version = succeed(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// When the last commit was made, in seconds since 1970: the time of all files in packages.
fn last_change() -> Result<String> {
    let root = workspace::root();
    let log = Command::new("git")
        .args(["log", "-1", "--format=%ct"])
        .current_dir(root)
        .output();
    // An archive of the sources has no history.
    let text = log.map_or_else(|_| Vec::new(), |output| output.stdout);
    let text = String::from_utf8(text).context("git log")?;
    Ok(Some(text.trim())
        .filter(|it| !it.is_empty())
        .unwrap_or("0")
        .to_owned())
}

fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn emptied(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => make(folder),
    }
}

/// Copies a file with its mode, and makes the folder that it goes to.
fn copy(from: &Path, to: &Path) -> Result<()> {
    make(to.parent().context("a file is in a folder")?)?;
    std::fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Runs a command, and returns its standard output.
fn succeed(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed ({})\n{printed}{errors}", output.status);
    }
    Ok(printed)
}
