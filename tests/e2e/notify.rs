//! What systemd is told, by a socket of the test's own.

use std::os::unix::net::UnixDatagram;
use testkit::{DEADLINE, Folder, Launch, Receiver, Reply, Signal};

struct Systemd(UnixDatagram);

impl Systemd {
    /// Waits for a message that says this; what came with it.
    fn hears(&self, expected: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self.0.recv(&mut buffer);
            let length = length.unwrap_or_else(|error| panic!("no {expected}: {error}"));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.lines().any(|line| line == expected) {
                return message;
            }
        }
    }
}

#[test]
fn systemd_hears_of_the_start_of_reloads_of_life_and_of_the_end() {
    let receiver = Receiver::always(Reply::status(200));
    let folder = Folder::new();
    let config = folder.config(&crate::admin::two_targets(&receiver.url(), &receiver.url()));
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket can be made");
    socket
        .set_read_timeout(Some(DEADLINE))
        .expect("it takes a time");
    let systemd = Systemd(socket);
    let process = Launch::with_config(&config)
        .env("NOTIFY_SOCKET", path.to_str().expect("it is UTF-8"))
        .env("WATCHDOG_USEC", "200000")
        .spawn();
    let ready = systemd.hears("READY=1");
    assert!(ready.contains("STATUS="), "{ready}");
    let alive = systemd.hears("WATCHDOG=1");
    assert!(alive.contains("STATUS=2 targets, 0 delivered"), "{alive}");
    let _again = systemd.hears("WATCHDOG=1");
    process.signal(Signal::HUP);
    let reloading = systemd.hears("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    let _ready = systemd.hears("READY=1");
    process.signal(Signal::TERM);
    let _stopping = systemd.hears("STOPPING=1");
    let _ended = process.wait().expect_code(0);
}
