//! `webhookd top`: as text, and in a real terminal.

use crate::durable::reliable;
use crate::packaging::{said, tool};
use serde_json::json;
use testkit::{Folder, Launch, Process, Receiver, Reply, event, webhookd};

/// Runs `webhookd top` in a pseudo-terminal of Python's, presses keys, ends it by `q` or by
/// SIGTERM, and says whether the terminal is as it was.
const TERMINAL: &str = r#"
import fcntl, os, pty, select, signal, struct, subprocess, sys, termios, time
binary, queue, ending = sys.argv[1:]
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 140, 0, 0))
before = termios.tcgetattr(slave)
top = subprocess.Popen([binary, "top", "--queue", queue, "--interval", "100ms"],
                       stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
seen = b""
def wait_for(text):
    global seen
    deadline = time.monotonic() + 60
    while text not in seen:
        ready, _, _ = select.select([master], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            sys.exit(f"waited in vain for {text!r} in {seen!r}")
        seen += os.read(master, 65536)
wait_for(b"\x1b[?1049h")
wait_for(b"audit")
wait_for(b"choose")
assert termios.tcgetattr(slave) != before, "it takes keys one by one"
os.write(master, b"p")
wait_for(b"paused")
if ending == "q":
    os.write(master, b"q")
else:
    top.send_signal(signal.SIGTERM)
wait_for(b"\x1b[?1049l")
assert top.wait(60) == 0, top.returncode
assert termios.tcgetattr(slave) == before, "the terminal is not as it was"
print("as it was")
"#;

/// A webhookd with one target, that has delivered an event.
fn daemon(folder: &Folder, receiver: &Receiver) -> Process {
    let mut config = reliable(&receiver.url());
    config["name"] = json!("audit");
    let config = json!({ "targets": [config], "queue": { "dir": "queue" } });
    let mut daemon = Launch::with_config(&folder.config(&config)).spawn();
    daemon.write(event("a", 1) + "\n");
    receiver.wait_for_done(1);
    daemon
}

#[test]
fn one_frame_is_printed_as_text() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let _daemon = daemon(&folder, &receiver);
    let ended = Launch::new()
        .args(["top", "--once", "--interval", "100ms", "--queue"])
        .arg(folder.path().join("queue"))
        .run("")
        .expect_code(0);
    let text = String::from_utf8(ended.stdout).expect("it prints text");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("webhookd ") && lines[0].ends_with(", ready"),
        "{text}"
    );
    assert!(lines[1].starts_with("queue: "), "{text}");
    assert!(lines[3].starts_with("TARGET "), "{text}");
    assert!(
        lines[4].starts_with("audit  ") && lines[4].contains(" ok "),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text:?}");

    let ended = Launch::new()
        .args(["top", "--queue"])
        .arg(folder.path().join("queue"))
        .run("")
        .expect_code(2);
    assert!(ended.stderr.contains("--once"), "{}", ended.stderr);
}

#[test]
fn a_terminal_is_used_and_given_back_as_it_was() {
    let receiver = Receiver::always(Reply::status(200));
    for ending in ["q", "SIGTERM"] {
        let folder = Folder::new();
        let _daemon = daemon(&folder, &receiver);
        let queue = folder.path().join("queue");
        let args = [
            "-c".as_ref(),
            TERMINAL.as_ref(),
            webhookd().as_os_str(),
            queue.as_os_str(),
            ending.as_ref(),
        ];
        let Some(output) = tool("python3", args) else {
            return;
        };
        assert!(output.status.success(), "{ending}: {}", said(&output));
        assert_eq!(said(&output), "as it was\n", "{ending}");
    }
}
