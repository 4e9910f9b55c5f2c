//! The tarball in a fresh Debian: unpacked as the manual says, its program resolves a name and delivers.

use super::super::{copy, succeed};
use super::event;
use super::root::Root;
use crate::workspace::{self, say};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use testkit::{Receiver, Reply};

/// # Errors
/// It is not as the manual says.
pub(super) fn check(archive: &Path) -> Result<()> {
    let root = Root::new()?;
    let home = root.path().join("root");
    let name = archive.file_name().context("the tarball is a file")?;
    copy(archive, &home.join(name))?;
    for command in commands()? {
        succeed(&mut root.shell(&command))?;
    }
    for path in ["bin/webhookd", "share/man/man1/webhookd-run.1"] {
        let path = format!("usr/local/{path}");
        ensure!(root.metadata(&path)?.is_file(), "{path} is no file");
    }

    let receiver = Receiver::always(Reply::status(200));
    let url = receiver.url().replace("127.0.0.1", "receiver.test");
    let example = workspace::root().join("docs/packaging/webhook.json");
    let example = fs::read_to_string(example).context("webhook.json")?;
    let config = example.replace("EDIT-ME", &url);
    fs::write(home.join("webhook.json"), config).context("webhook.json")?;
    fs::write(home.join("event.json"), event("unpacked")).context("event.json")?;
    let hosts = root.path().join("etc/hosts");
    fs::write(hosts, "127.0.0.1 receiver.test\n").context("/etc/hosts")?;
    let sent = "webhookd send event.json --webhook-config webhook.json";
    let sent = succeed(&mut root.shell(sent))?;
    ensure!(sent.contains("delivered (2xx)"), "{sent}");
    say("the tarball was unpacked, and its program delivers");
    Ok(())
}

/// The commands of the manual.
fn commands() -> Result<Vec<String>> {
    let manual = workspace::root().join("docs/operations.md");
    let manual = fs::read_to_string(manual).context("docs/operations.md")?;
    let section = manual
        .split_once("\n### Another Linux\n")
        .map(|(_, rest)| rest);
    let section = section.context("the manual does not tell how to unpack the tarball")?;
    let block = section
        .split_once("\n```sh\n")
        .and_then(|(_, rest)| rest.split_once("```"));
    let (block, _) = block.context("the manual has no commands for the tarball")?;
    Ok(block.lines().map(str::to_owned).collect())
}
