//! HTTP/1.1 on scripted streams. An answer is the same in whatever pieces it arrives.

use super::head::FIELDS;
use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io::ErrorKind;

const WITHIN: Duration = Duration::from_secs(60);
const MOST: u64 = 1000;

/// A stream whose input is these pieces, and then the end or silence.
#[derive(Debug, Default)]
struct Script {
    pieces: VecDeque<Vec<u8>>,
    then_silent: bool,
    sent: Vec<u8>,
    /// The deadlines of all calls.
    deadlines: Vec<Instant>,
}

impl Stream for Script {
    fn send(&mut self, head: &[u8], body: &[u8], until: Instant) -> Result<()> {
        self.deadlines.push(until);
        self.sent.extend_from_slice(head);
        self.sent.extend_from_slice(body);
        Ok(())
    }

    fn receive(&mut self, room: &mut [u8], until: Instant) -> Result<usize> {
        self.deadlines.push(until);
        let Some(mut piece) = self.pieces.pop_front() else {
            return if self.then_silent {
                Err(ErrorKind::TimedOut.into())
            } else {
                Ok(0)
            };
        };
        let length = piece.len().min(room.len());
        room[..length].copy_from_slice(&piece[..length]);
        if length < piece.len() {
            self.pieces.push_front(piece.split_off(length));
        }
        Ok(length)
    }

    fn is_quiet(&mut self) -> bool {
        self.pieces.is_empty()
    }
}

fn connection(pieces: impl IntoIterator<Item = Vec<u8>>, then_silent: bool) -> Connection<Script> {
    Connection::new(Script {
        pieces: pieces
            .into_iter()
            .filter(|piece| !piece.is_empty())
            .collect(),
        then_silent,
        ..Script::default()
    })
}

/// The answer in these bytes, followed by silence, and whether the connection can be reused.
fn received(
    pieces: impl IntoIterator<Item = Vec<u8>>,
) -> std::result::Result<(Answer, bool), String> {
    let mut connection = connection(pieces, true);
    match connection.exchange(b"head", b"body", WITHIN, MOST) {
        Ok(answer) => {
            assert_eq!(connection.stream.sent, b"headbody");
            Ok((
                answer,
                connection.if_reusable(WITHIN, 10 * WITHIN).is_some(),
            ))
        }
        Err(fault) => {
            assert!(connection.if_reusable(WITHIN, 10 * WITHIN).is_none());
            Err(format!("{fault:?}"))
        }
    }
}

/// Status, body, whether the body is complete, and whether the connection is kept.
type Expected<'a> = (u16, &'a str, bool, bool);

fn check(bytes: &str, expected: Expected<'_>) {
    let (answer, kept) = received([bytes.as_bytes().to_vec()]).expect(bytes);
    let body = std::str::from_utf8(&answer.body).unwrap();
    assert_eq!(
        (answer.status, body, answer.complete, kept),
        expected,
        "{bytes}"
    );
}

fn check_fault(bytes: &str, why: &str) {
    let fault = received([bytes.as_bytes().to_vec()]).expect_err(bytes);
    assert!(fault.contains(why), "{bytes}: {fault}");
}

#[test]
fn a_body_has_the_length_in_its_head() {
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        (200, "ok", true, true),
    );
    check(
        "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        (200, "", true, true),
    );
    check(
        "HTTP/1.1 500 \nContent-Length:1\n\nx",
        (500, "x", true, true),
    );
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\nContent-Length: 2\r\n\r\nok",
        (200, "ok", true, true),
    );
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok",
        (200, "ok", false, false),
    );
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nok",
        (200, "o", true, false),
    );
    check(
        "HTTP/1.1 204 No\r\ncontent-length: 9\r\n\r\n",
        (204, "", true, false),
    );
    check(
        "HTTP/1.1 304 No\r\ntransfer-encoding: chunked\r\n\r\n",
        (304, "", true, true),
    );
}

#[test]
fn a_chunked_body_ends_with_its_last_chunk() {
    let chunked =
        |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n{body}");
    check(&chunked("0\r\n\r\n"), (200, "", true, true));
    check(
        &chunked("2;x=\"y\"\r\nab\r\n00a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"),
        (200, "ab0123456789", true, true),
    );
    for cut in [
        "",
        "2",
        "2\r\n",
        "2\r\na",
        "2\r\nab",
        "2\r\nab\r\n",
        "2\r\nab\r\n0\r\n",
        "2\r\nab\r\n0\r\nx: y\r\n",
    ] {
        let whole = "2\r\nab".starts_with(cut);
        let body = cut
            .split_once('\n')
            .map_or("", |(_, rest)| if whole { rest } else { "ab" });
        check(&chunked(cut), (200, body, false, false));
    }
    for wrong in [
        "\r\n",
        "x\r\n",
        "-1\r\n",
        " 1\r\na\r\n",
        "1 2\r\n",
        "fffffffffffffffff\r\n",
    ] {
        check(&chunked(wrong), (200, "", false, false));
    }
    check(&chunked("1\r\nabc\r\n0\r\n\r\n"), (200, "a", false, false));
    check(
        &chunked("ffffffffffffffff\r\nabc"),
        (200, "abc", false, false),
    );
}

#[test]
fn a_body_of_unknown_length_ends_with_the_connection() {
    for head in [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n",
    ] {
        let bytes = format!("{head}\r\nabc").into_bytes();
        let mut ends = connection([bytes.clone()], false);
        let answer = ends.exchange(b"", b"", WITHIN, MOST).unwrap();
        assert_eq!((&answer.body[..], answer.complete), (&b"abc"[..], true));
        assert!(ends.if_reusable(WITHIN, 10 * WITHIN).is_none());
        assert!(!received([bytes]).unwrap().0.complete, "it may go on");
    }
}

#[test]
fn a_body_is_kept_up_to_its_bound() {
    let most = usize::try_from(MOST).unwrap();
    for (length, expected) in [
        (most - 1, true),
        (most, true),
        (most + 1, false),
        (100_000, false),
    ] {
        let body = "x".repeat(length);
        let kept = &body[..length.min(most)];
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        check(&(head + &body), (200, kept, expected, expected));
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = body
            .as_bytes()
            .chunks(7)
            .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), "x".repeat(chunk.len())));
        let chunks: String = body.collect();
        check(
            &format!("{head}{chunks}0\r\n\r\n"),
            (200, kept, expected, expected),
        );
    }
}

#[test]
fn a_peer_says_whether_the_connection_is_kept() {
    let body = "content-length: 0\r\n\r\n";
    for (head, kept) in [
        ("HTTP/1.1 200 OK\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: Close\r\n", false),
        (
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, close\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: x,close \r\n",
            false,
        ),
        ("HTTP/1.1 101 Switching\r\n", false),
        ("HTTP/1.0 200 OK\r\n", false),
        ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", true),
    ] {
        let (answer, is_kept) = received([format!("{head}{body}").into_bytes()]).unwrap();
        assert!(answer.complete);
        assert_eq!(is_kept, kept, "{head}");
    }
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        (200, "a", true, false),
    );
}

#[test]
fn an_identity_coding_does_not_override_the_length() {
    for (coding, kept) in [
        ("identity", true),
        ("", true),
        (" , Identity,", true),
        ("gzip", false),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n");
        check(
            &format!("{head}Content-Length: 2\r\n\r\nok"),
            (200, "ok", true, kept),
        );
    }
    let coding = "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity";
    let head = format!("HTTP/1.1 200 OK\r\n{coding}\r\n\r\n");
    check(
        &format!("{head}1\r\na\r\n0\r\n\r\n"),
        (200, "a", true, true),
    );
}

#[test]
fn a_204_that_announces_content_ends_the_connection() {
    for (fields, kept) in [
        ("", true),
        ("Content-Length: 0\r\n", true),
        ("Content-Length: 5\r\n", false),
        ("Transfer-Encoding: chunked\r\n", false),
    ] {
        check(
            &format!("HTTP/1.1 204 No\r\n{fields}\r\n"),
            (204, "", true, kept),
        );
    }
}

#[test]
fn the_first_retry_after_is_returned() {
    let bytes =
        "HTTP/1.1 503 No\r\nretry-AFTER:  120 \r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    let (answer, _) = received([bytes.as_bytes().to_vec()]).unwrap();
    assert_eq!(answer.retry_after.as_deref(), Some(&b"120"[..]));
}

#[test]
fn a_malformed_head_after_a_status_line_costs_the_connection_and_not_the_answer() {
    for line in [
        "Content-Security-Policy:\r\n default-src 'self';\r\n\tscript-src 'self'",
        " folded from the start",
        "Set-Cookie: ___utm=dm\x01Pf; path=/",
        "X-Powered-By : ASP",
        "X-Caf\u{e9}: 1",
        "no colon",
        ": no name",
        "a b: c",
        "a: nul\0nul",
    ] {
        for status in [200, 204, 302, 429, 500] {
            let head = format!("HTTP/1.1 {status} OK\r\n{line}\r\nRetry-After: 7\r\n");
            let bytes = format!("{head}Content-Length: 2\r\n\r\nok").into_bytes();
            let (answer, kept) = received([bytes]).expect(line);
            let body = if status == 204 { "" } else { "ok" };
            assert_eq!(answer.status, status, "{line}");
            assert_eq!(answer.body, body.as_bytes(), "{line}");
            assert_eq!(answer.retry_after.as_deref(), Some(&b"7"[..]), "{line}");
            assert!(answer.complete && !kept, "{line}");
        }
    }
    let many = "a: b\r\n".repeat(FIELDS + 2);
    check(
        &format!("\r\nHTTP/1.0 200 OK\r\n{many}Content-Length: 2\r\n\r\nok"),
        (200, "ok", true, false),
    );
}

#[test]
fn a_reason_phrase_may_have_any_bytes() {
    for reason in ["O\x01K", "\0", "a\rb", "\u{e9}\x7f", "\x1b[31m"] {
        check(
            &format!("HTTP/1.1 200 {reason}\r\nContent-Length: 2\r\n\r\nok"),
            (200, "ok", true, false),
        );
        let cut = format!("HTTP/1.0 503 {reason}\nRetry-");
        check(&cut, (503, "", false, false));
    }
}

#[test]
fn the_final_answer_follows_a_malformed_interim_one() {
    for line in [
        "Link: <a>;\r\n rel=preload",
        "Link: \x01",
        "a b: c",
        "Content-Length: x",
        "no colon",
    ] {
        for interim in ["103 Early Hints", "100 Go \x01 on", "102"] {
            let head = format!("HTTP/1.1 {interim}\r\n{line}\r\n\r\n");
            let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            check(&format!("{head}{head}{last}"), (200, "ok", true, true));
        }
    }
}

#[test]
fn a_contradictory_or_endless_head_leaves_the_status_alone() {
    let alone = (200, "", false, false);
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        alone,
    );
    for length in ["", "-1", "+1", "1,", "0x1", "99999999999999999999"] {
        check(
            &format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nok"),
            alone,
        );
    }
    for head in [
        String::new(),
        "Retry-After: 1".to_owned(),
        "a: b\r\n".repeat(FIELDS + 2),
        format!("a: {}", "b".repeat(LONGEST_HEAD)),
        format!("a\0b: {}", "b".repeat(LONGEST_HEAD)),
    ] {
        // The end comes, or silence.
        check(&format!("HTTP/1.1 200 OK\r\n{head}"), alone);
        let bytes = format!("HTTP/1.1 503\n{head}").into_bytes();
        let mut ends = connection([bytes], false);
        let answer = ends.exchange(b"", b"", WITHIN, MOST).unwrap();
        assert_eq!((answer.status, answer.complete), (503, false));
        assert_eq!(answer.retry_after, None, "its end may be missing");
    }
}

#[test]
fn without_a_whole_status_line_there_is_no_answer() {
    check_fault("HTTP/1.1 099 Low\r\n\r\n", "below 100");
    check_fault("HTTP/2 200\r\n\r\n", "HTTP/1.1 or HTTP/1.0");
    check_fault("HTTP/1.1 2000 OK\r\n\r\n", "three digits");
    check_fault("HTTP/1.1 100 Go on\r\na b: c\r\n\r\n", "TimedOut");
    check_fault("HTTP/1.1 103 Early\r\na b: c\r\n", "TimedOut");
    check_fault("HTTP/1.1 200 O\x01K", "TimedOut");
    check_fault("HTTP/1.1 200\x01OK\r\n\r\n", "three digits");
    check_fault("HTTP/1.1 200 OK\r", "TimedOut");
    let long = "b".repeat(LONGEST_HEAD);
    check_fault(&format!("HTTP/1.1 200 {long}"), "too long");
    check_fault("HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200", "TimedOut");
    assert!(matches!(
        connection([b"HTTP/1.1 200 OK".to_vec()], false).exchange(b"", b"", WITHIN, MOST),
        Err(Fault::Closed)
    ));
}

#[test]
fn an_answer_has_more_time_only_if_sending_used_it_up() {
    let now = Instant::now();
    let soon = now + ANSWERED / 10;
    assert_eq!(after_sending(soon, now), soon, "however short it is");
    assert_eq!(after_sending(now, now), now + ANSWERED);
    assert_eq!(after_sending(now, soon), soon + ANSWERED);
}

#[test]
fn an_exchange_has_one_deadline_for_all_its_phases() {
    let pieces = [
        "HTTP/1.1 100 Go on\r\n\r\n",
        "HTTP/1.1 200",
        " OK\r\nContent-Length: 4\r\n\r\n",
    ];
    let pieces = pieces.into_iter().chain(["ab", "cd"]);
    let mut connection = connection(pieces.map(|piece| piece.as_bytes().to_vec()), true);
    let began = Instant::now();
    connection.exchange(b"", b"", WITHIN, MOST).unwrap();
    let (exchange, body) = connection.stream.deadlines.split_at(4);
    assert!(
        exchange.iter().all(|until| *until == exchange[0]),
        "to the end of the head"
    );
    assert!(exchange[0] >= began + WITHIN);
    assert_eq!(body.len(), 2, "the body has a time of its own");
    assert!(body[0] == body[1] && body[0] > exchange[0]);
}

#[test]
fn a_connection_is_not_reused_after_a_long_idle_time_or_beyond_its_greatest_age() {
    let used = || {
        let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec();
        let mut connection = connection([ok], true);
        connection.exchange(b"", b"", WITHIN, MOST).unwrap();
        connection.if_reusable(WITHIN, WITHIN).unwrap()
    };
    let mut idle = used();
    idle.used -= WITHIN * 2;
    assert!(idle.if_reusable(WITHIN, 10 * WITHIN).is_none());
    let mut old = used();
    old.made -= WITHIN * 2;
    assert!(old.if_reusable(WITHIN, WITHIN).is_none());
}

/// An answer and bytes that follow it.
fn any_answer() -> impl Strategy<Value = Vec<u8>> {
    let interim = prop_oneof![
        Just("HTTP/1.1 103 Early\r\nlink: <x>\r\n\r\n"),
        Just("HTTP/1.1 103 Ear\x01ly\r\nlink: <x>\r\n y\r\n\r\n"),
    ];
    let interim = prop::collection::vec(interim, 0..3);
    let framing = prop_oneof![
        Just("content-length: 20\r\n".to_owned()),
        Just("transfer-encoding: chunked\r\n".to_owned()),
        Just("connection: close\r\n".to_owned()),
        Just(String::new()),
        "[ -~]{0,40}\r\n",
    ];
    let body = prop_oneof![
        Just("12345678901234567890".to_owned()),
        Just("5;x\r\nabcde\r\nA\r\n0123456789\r\n0\r\nx: y\r\n\r\n".to_owned()),
        "[0-9a-f\r\n;]{0,60}",
    ];
    let reason = prop_oneof![Just("x"), Just("\x01")];
    (interim, 200_u16..600, reason, framing, body, "[ -~]{0,4}").prop_map(
        |(interim, status, reason, framing, body, rest)| {
            let interim = interim.concat();
            format!("{interim}HTTP/1.1 {status} {reason}\r\n{framing}\r\n{body}{rest}").into_bytes()
        },
    )
}

proptest! {
    #[test]
    fn pieces_make_no_difference(bytes in any_answer(), cuts in prop::collection::vec(0..200_usize, 0..8)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(bytes[from..cut].to_vec());
            from = cut;
        }
        pieces.push(bytes[from..].to_vec());
        let whole = received([bytes.clone()]);
        let drops = bytes.iter().map(|byte| vec![*byte]);
        prop_assert_eq!(&received(pieces), &whole);
        prop_assert_eq!(&received(drops), &whole);
    }

    #[test]
    fn no_input_causes_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(received([bytes.clone()]));
        drop(received([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(), bytes]));
    }
}
