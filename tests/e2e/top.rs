//! `webhookd top`: as text, and in a real terminal.

use crate::durable::reliable;
use crate::packaging::{said, tool};
use serde_json::json;
use testkit::{Folder, Launch, Process, Receiver, Reply, event, webhookd};

/// Runs `webhookd top` in a pseudo-terminal of Python's, presses keys, ends it by `q`, by a signal,
/// or by closing the terminal, and says whether the terminal is as it was.
const TERMINAL: &str = r#"
import fcntl, json, os, pty, re, select, signal, socket, struct, subprocess, sys, termios, time
binary, queue, ending = sys.argv[1:]
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
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
def daemon():
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(os.path.join(queue, "admin.sock"))
        admin.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := admin.recv(65536):
            answer += part
    return int(re.search(rb'"pid":(\d+)', answer)[1])
wait_for(b"\x1b[?1049h")
wait_for(b"audit")
wait_for(b"choose")
assert b"PENDING" in seen and b"P50" not in seen, seen
assert termios.tcgetattr(slave) != before, "it takes keys one by one"
os.write(master, b"p")
wait_for(b"paused")
if ending == "closed":
    # It is in a session of its own, so that it gets no SIGHUP. Half a key is left to be read.
    os.write(master, b"\x1b[")
    os.close(slave)
    os.close(master)
    assert top.wait(60) == 0, top.returncode
    sys.exit(print("as it was"))
if ending == "q":
    os.write(master, b"q")
elif ending == "SIGTERM while webhookd hangs":
    pid = daemon()
    os.kill(pid, signal.SIGSTOP)
    try:
        # By then it waits for a response.
        wait_for_nothing = time.monotonic() + 1
        while select.select([master], [], [], max(0, wait_for_nothing - time.monotonic()))[0]:
            seen += os.read(master, 65536)
        top.send_signal(signal.SIGTERM)
        wait_for(b"\x1b[?1049l")
        assert top.wait(60) == 0, top.returncode
    finally:
        os.kill(pid, signal.SIGCONT)
else:
    top.send_signal(getattr(signal, ending))
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
    for ending in [
        "q",
        "SIGTERM",
        "SIGHUP",
        "SIGINT",
        "SIGTERM while webhookd hangs",
        "closed",
    ] {
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
