//! Answering a request, well or badly.

use crate::torture::history::Answer;
use crate::torture::mood::Act;
use crate::torture::targets::GOOD_TIME;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::net::sockopt::set_socket_linger;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const SUCCESS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nthank you...";
/// Bytes of [`SUCCESS`] before its body.
const HEAD: usize = SUCCESS.len() - 12;

const GARBAGE: &[&[u8]] = &[
    b"\0\xff\xfe not a word of HTTP \r\n\r\n",
    b"HTTP/1.1 twohundred OK\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x15\x03\x01\x00\x02\x02\x28",
];

/// Does it; tells what the sender may make of it, and whether the connection goes on.
pub(super) fn perform(act: Act, stream: &mut TcpStream) -> (Answer, bool) {
    let began = Instant::now();
    let success = |stream: &TcpStream, written: bool| {
        let in_time = began.elapsed() <= GOOD_TIME && !has_left(stream);
        if written && in_time {
            Answer::Yes
        } else {
            Answer::Perhaps
        }
    };
    match act {
        Act::Accept => {
            let written = stream.write_all(SUCCESS).is_ok();
            (success(stream, written), written)
        }
        Act::AcceptAndLeave => {
            let written = stream.write_all(SUCCESS).is_ok();
            (success(stream, written), false)
        }
        Act::Trickle { pause } => {
            let written = trickle(stream, pause);
            (success(stream, written), written)
        }
        Act::BreakBody => {
            drop(stream.write_all(&SUCCESS[..HEAD + 5]));
            (Answer::Perhaps, false)
        }
        Act::BreakHead => {
            drop(stream.write_all(&SUCCESS[..12]));
            // A status line without its end is none.
            (Answer::No, false)
        }
        Act::Cut | Act::Leave => (Answer::No, false),
        Act::Hang => {
            // The sender's leaving ends this.
            let mut nothing = [0; 64];
            while matches!(stream.read(&mut nothing), Ok(read) if read > 0) {}
            (Answer::No, false)
        }
        Act::Garbage => {
            let which = usize::from(stream.peer_addr().map_or(0, |peer| peer.port()));
            drop(stream.write_all(GARBAGE[which % GARBAGE.len()]));
            (Answer::No, false)
        }
        Act::Fail(status) => (Answer::No, say(stream, status, "")),
        Act::Throttle(after) => {
            let header = format!("Retry-After: {}\r\n", after.value());
            (Answer::No, say(stream, 429, &header))
        }
        Act::Refuse(status) => (Answer::Never, say(stream, status, "")),
    }
}

/// Whether the sender has closed the connection: it may have lost patience while the request lay
/// unread, on a machine that has too much to do.
fn has_left(stream: &TcpStream) -> bool {
    let mut byte = [0];
    match rustix::net::recv(stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, received)) => received == 0,
        Err(error) => error != Errno::AGAIN,
    }
}

fn say(stream: &mut TcpStream, status: u16, header: &str) -> bool {
    let location = match status {
        301 | 307 => "Location: /elsewhere\r\n",
        _ => "",
    };
    let answer =
        format!("HTTP/1.1 {status} Whatever\r\n{header}{location}Content-Length: 2\r\n\r\nno");
    stream.write_all(answer.as_bytes()).is_ok()
}

fn trickle(stream: &mut TcpStream, pause: Duration) -> bool {
    SUCCESS.chunks(5).all(|piece| {
        let written = stream.write_all(piece).is_ok();
        std::thread::sleep(pause);
        written
    })
}

/// Breaks a connection off, so that what was written may be lost as well.
pub(super) fn reset(stream: TcpStream) {
    // If that cannot be set, the connection ends in good order: bad enough.
    set_socket_linger(&stream, Some(Duration::ZERO)).unwrap_or(());
    drop(stream);
}
