//! The container image: built by buildah on a base that debootstrap made, and run by runc as its
//! configuration says, with a read-only root and no network but its own loopback.

use super::super::{emptied, folder, make, succeed};
use super::{event, root, succeed_in_time};
use crate::tools;
use crate::workspace::{self, say};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;
use testkit::{Launch, Process};

/// # Errors
/// It cannot be built, or is not as docs/packaging/Dockerfile says.
pub(super) fn check(content: &Path) -> Result<()> {
    ensure!(
        tools::BUILDAH.ensure(),
        "buildah and runc are not installed"
    );
    let folder = folder().join("containers");
    emptied(&folder)?;
    let archive = root::archive()?;
    build_base(&folder, &archive)?;
    let dockerfile = workspace::root().join("docs/packaging/Dockerfile");
    let mut build = buildah(&folder);
    build.args(
        "bud --quiet --isolation chroot --format docker --build-arg BASE=localhost/base".split(' '),
    );
    build
        .arg("--file")
        .arg(dockerfile)
        .args(["--tag", "webhookd"]);
    succeed(build.arg(content))?;
    let image =
        succeed(buildah(&folder).args(["inspect", "--type", "image", "localhost/webhookd"]))?;
    let image: Value = serde_json::from_str(&image).context("buildah inspect")?;
    let image = &image["Docker"]["config"];
    ensure!(
        image["User"] == "65532:65532",
        "the user is {}",
        image["User"]
    );
    ensure!(
        image["StopSignal"] == "SIGTERM",
        "it is stopped by {}",
        image["StopSignal"]
    );

    let container = succeed(buildah(&folder).args(["from", "localhost/webhookd"]))?;
    let tree = succeed(buildah(&folder).args(["mount", container.trim()]))?;
    let tree = Path::new(tree.trim());
    let program = fs::metadata(tree.join("usr/bin/webhookd")).context("the program")?;
    ensure!(
        program.uid() == 0 && program.mode() & 0o7777 == 0o755,
        "{program:?}"
    );
    let state = fs::metadata(tree.join("var/lib/webhookd")).context("the volume")?;
    ensure!(state.uid() == 65532, "{state:?}");
    fs::create_dir_all(tree.join("etc/webhookd")).context("the place of the configuration")?;

    let (container, process) = Container::start(&folder, tree, image)?;
    let delivered = container.delivers_an_event(image);
    delivered.with_context(|| format!("webhookd said:\n{}", process.error_so_far()))?;
    container.is_confined()?;
    container.ends(process)?;
    drop(container);
    emptied(&folder)?;
    say("the image was built and run: not as root, with a read-only root; SIGTERM ended it");
    Ok(())
}

/// buildah with its images in a folder of their own, and without file systems that need the kernel's help.
fn buildah(folder: &Path) -> Command {
    let mut command = Command::new("buildah");
    command.arg("--root").arg(folder.join("storage"));
    command.arg("--runroot").arg(folder.join("run"));
    command.args(["--storage-driver", "vfs"]);
    command
}

fn build_base(folder: &Path, archive: &Path) -> Result<()> {
    let container = succeed(buildah(folder).args(["from", "scratch"]))?;
    let container = container.trim();
    succeed(
        buildah(folder)
            .args(["add", "--quiet", container])
            .arg(archive)
            .arg("/"),
    )?;
    succeed(buildah(folder).args(["commit", "--quiet", container, "localhost/base"]))?;
    succeed(buildah(folder).args(["rm", container]))?;
    Ok(())
}

/// webhookd as the first process of a container.
struct Container<'a> {
    folder: &'a Path,
}

const NAME: &str = "webhookd";

impl Container<'_> {
    /// Runs the image's command, with a configuration and an empty volume.
    fn start<'a>(folder: &'a Path, tree: &Path, image: &Value) -> Result<(Container<'a>, Process)> {
        let bundle = folder.join("bundle");
        let (config, volume) = (bundle.join("etc"), bundle.join("volume"));
        make(&config)?;
        make(&volume)?;
        chown(&volume, Some(65532), Some(65532)).context("the volume")?;
        let example = workspace::root().join("docs/packaging/webhook.json");
        let example = fs::read_to_string(example).context("webhook.json")?;
        let edited = example.replace("EDIT-ME", "http://127.0.0.1:5000/");
        fs::write(config.join("webhook.json"), edited).context("webhook.json")?;

        succeed(
            Command::new("runc")
                .arg("spec")
                .arg("--bundle")
                .arg(&bundle),
        )?;
        let path = bundle.join("config.json");
        let text = fs::read_to_string(&path).context("runc spec")?;
        let mut spec: Value = serde_json::from_str(&text).context("runc spec")?;
        ensure!(
            spec["root"]["readonly"] == true,
            "runc spec has a root that can be written to"
        );
        spec["root"]["path"] = json!(tree);
        let process = &mut spec["process"];
        process["terminal"] = json!(false);
        process["user"] = json!({ "uid": 65532, "gid": 65532 });
        process["env"] = image["Env"].clone();
        process["capabilities"] = json!({});
        let words = |key: &str| image[key].as_array().cloned().unwrap_or_default();
        process["args"] = json!([words("Entrypoint"), words("Cmd")].concat());
        if let Some(mounts) = spec["mounts"].as_array_mut() {
            mounts.retain(|mount| mount["type"] != "cgroup");
            for (from, to, mode) in [
                (&config, "/etc/webhookd", "ro"),
                (&volume, "/var/lib/webhookd", "rw"),
            ] {
                mounts.push(json!({
                    "type": "bind", "source": from, "destination": to, "options": ["bind", mode]
                }));
            }
        }
        fs::write(&path, spec.to_string()).context("the bundle")?;
        let process = Launch::of("runc").arg("--root").arg(folder.join("runc"));
        let process = process.args(["run", "--bundle"]).arg(&bundle).arg(NAME);
        Ok((Container { folder }, process.spawn()))
    }

    fn runc(&self, words: &str) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(self.folder.join("runc"));
        command.args(words.split_whitespace());
        command
    }

    /// A command in the container.
    fn exec(&self, words: &str) -> Command {
        self.runc(&format!("exec {NAME} {words}"))
    }

    fn delivers_an_event(&self, image: &Value) -> Result<()> {
        let health = image["Healthcheck"]["Test"].as_array();
        let health: Vec<&str> = health
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let Some(("CMD", health)) = health.split_first().map(|(first, rest)| (*first, rest)) else {
            anyhow::bail!("the health check is {health:?}");
        };
        let healthy = succeed_in_time(|| self.exec(&health.join(" ")))?;
        ensure!(healthy == "live\n", "the health check printed {healthy}");

        let receiver = Launch::of("runc")
            .arg("--root")
            .arg(self.folder.join("runc"));
        let receiver = receiver.args(["exec", NAME]);
        let receiver = receiver.args("webhookd receive --listen 127.0.0.1:5000".split(' '));
        let receiver = receiver.spawn();
        let mut curl =
            self.exec("curl -sS --fail-with-body --retry 0 http://127.0.0.1:8080/ --json");
        let answer = succeed(curl.arg(event("in-a-container")))?;
        ensure!(answer.contains("evt_"), "{answer}");
        receiver.wait_for_output("in-a-container");
        // Ends with the container, whose first process is webhookd.
        Ok(())
    }

    fn is_confined(&self) -> Result<()> {
        let first = succeed(&mut self.exec("cat /proc/1/comm"))?;
        ensure!(first == "webhookd\n", "the first process is {first}");
        let status = succeed(&mut self.exec("cat /proc/1/status"))?;
        for line in [
            "Uid:\t65532\t",
            "NoNewPrivs:\t1",
            "CapBnd:\t0000000000000000",
        ] {
            ensure!(status.contains(line), "{line:?} is not in\n{status}");
        }
        for path in ["/usr/bin/webhookd", "/etc/webhookd/webhook.json", "/new"] {
            let written = self.exec(&format!("touch {path}")).output();
            ensure!(
                !written.context("runc exec")?.status.success(),
                "{path} can be written to"
            );
        }
        // The admin API is not for other machines.
        let listeners = succeed(&mut self.exec("cat /proc/net/tcp"))?;
        let admin = listeners
            .lines()
            .filter(|line| line.contains(":2508 ") && line.contains(" 0A "));
        let admin: Vec<&str> = admin.collect();
        ensure!(
            matches!(admin.as_slice(), [one] if one.contains("0100007F:2508")),
            "{listeners}"
        );
        Ok(())
    }

    fn ends(&self, process: Process) -> Result<()> {
        succeed(&mut self.runc(&format!("kill {NAME} TERM")))?;
        let ended = process.wait();
        ensure!(
            ended.code == Some(0),
            "webhookd ended with {}:\n{}",
            ended.status,
            ended.stderr
        );
        ensure!(ended.stderr.contains("SIGTERM: ending"), "{}", ended.stderr);
        Ok(())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // Ended already, unless a check has failed.
        drop(self.runc(&format!("delete --force {NAME}")).output());
    }
}
