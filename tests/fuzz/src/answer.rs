//! The head and the body of a receiver's HTTP/1.1 answer, through a scripted connection.

use crate::http::http1::{Connection, Stream};
use crate::seeds::Files;
use std::io::{ErrorKind, Result};
use std::time::{Duration, Instant};
use webhook_dispatch::Answer;

const WITHIN: Duration = Duration::from_secs(60);
/// The longest body that is kept, bytes.
const MOST: u64 = 1000;

/// The first byte says in how long pieces the rest arrives, and whether the connection ends then. The
/// answer is the same in whatever pieces it arrives; its body is bounded, and so is the connection's
/// buffer; a connection with unread bytes is not used again.
pub(crate) fn run(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else {
        return;
    };
    let then_silent = flags & 0x80 != 0;
    let piece = usize::from(flags & 0x7f).max(1);
    let whole = received(bytes, bytes.len().max(1), then_silent);
    assert_eq!(received(bytes, piece, then_silent), whole);
    let Ok((answer, reusable)) = whole else {
        return;
    };
    assert!((100..=999).contains(&answer.status));
    assert!(
        !matches!(answer.status, 100 | 102..=199),
        "an interim answer"
    );
    assert!(answer.body.len() as u64 <= MOST);
    assert!(answer.complete || !reusable);
    // What came of it before the connection broke is there.
    let status = answer.status.to_string();
    let digits = bytes.windows(3).any(|it| it == status.as_bytes());
    assert!(digits, "the status {status} is in the answer");
    if let Some(value) = &answer.retry_after {
        // The line break of a folded field is left out.
        let plain: Vec<u8> = bytes.iter().copied().filter(|it| *it != b'\n').collect();
        let is_there = value.is_empty() || plain.windows(value.len()).any(|it| it == value);
        assert!(is_there, "the answer has no {value:?}");
    }
}

fn received(
    bytes: &[u8],
    piece: usize,
    then_silent: bool,
) -> std::result::Result<(Answer, bool), String> {
    let mut connection = Connection::new(Script {
        rest: bytes,
        piece,
        then_silent,
    });
    let answer = connection.exchange(b"head", b"body", WITHIN, MOST);
    let reusable = connection.is_kept();
    let may_follow = connection.if_reusable(WITHIN, WITHIN).is_some();
    assert!(reusable || !may_follow);
    // Whether unsolicited bytes have come yet depends on the pieces.
    match answer {
        Ok(answer) => Ok((answer, reusable)),
        Err(fault) => {
            assert!(!reusable);
            Err(format!("{fault:?}"))
        }
    }
}

/// A stream whose input arrives in pieces, and then the end or silence.
#[derive(Debug)]
struct Script<'a> {
    rest: &'a [u8],
    piece: usize,
    then_silent: bool,
}

impl Stream for Script<'_> {
    fn send(&mut self, _: &[u8], _: &[u8], _: Instant) -> Result<()> {
        Ok(())
    }

    fn receive(&mut self, room: &mut [u8], _: Instant) -> Result<usize> {
        assert!(!room.is_empty(), "it would be taken for the end");
        if self.rest.is_empty() && self.then_silent {
            return Err(ErrorKind::TimedOut.into());
        }
        let length = self.piece.min(room.len()).min(self.rest.len());
        let (piece, rest) = self.rest.split_at(length);
        room[..length].copy_from_slice(piece);
        self.rest = rest;
        Ok(length)
    }

    fn is_quiet(&mut self) -> bool {
        self.rest.is_empty() && self.then_silent
    }
}

pub(crate) fn seeds(files: &mut Files) {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 204 No Content\r\nConnection: keep-alive\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 \r\nRetry-After: 120\r\nConnection: close\r\n\r\nlater",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=\"y\"\r\nab\r\n00a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\nabc",
        "\r\nHTTP/1.1 200 \x01\nbad header\n folded: 1\nSet-Cookie: a\x00b\n\nbody",
        "HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 429 Slow\r\nRetry-After: Fri, 15 Jan 2027 08:00:05 GMT\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        "\x15\x03\x01\x00\x02\x02\x16",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
    ] {
        for flags in [0x01, 0x87, 0x7f] {
            files.add([&[flags], answer.as_bytes()].concat());
        }
    }
}
