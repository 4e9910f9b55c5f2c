//! What the clients send: the lines of a file, under a head that was seen on a wire.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// So many bytes of the file are sent, again and again: a feeder's cost is not measured here.
const AT_MOST: usize = 8 << 20;

/// What every client needs to know.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClientArgs {
    /// Where to connect
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// Events, a line each
    #[arg(long)]
    pub(crate) events: PathBuf,
    /// How many requests
    #[arg(long)]
    pub(crate) count: u64,
    /// Requests under way at once, each on a connection of its own
    #[arg(long)]
    pub(crate) at_once: usize,
    /// The head of a request, as it was seen on a wire; its length is exchanged
    #[arg(long)]
    pub(crate) head: PathBuf,
    /// Lines in each body
    #[arg(long, default_value_t = 1)]
    pub(crate) batch: usize,
}

/// What a client sends.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) bodies: Vec<Bytes>,
    pub(crate) head: Head,
    count: u64,
    taken: AtomicU64,
}

impl Plan {
    pub(crate) fn new(args: &ClientArgs) -> Result<Plan> {
        let bodies = bodies(&args.events, args.batch)?;
        let head = std::fs::read_to_string(&args.head)
            .with_context(|| format!("cannot read {}", args.head.display()))?;
        Ok(Plan {
            bodies,
            head: Head::new(&head)?,
            count: args.count,
            taken: AtomicU64::new(0),
        })
    }

    /// The next body to be sent, until there were enough.
    pub(crate) fn take(&self) -> Option<&Bytes> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let index = number % self.bodies.len().max(1) as u64;
        (number < self.count).then(|| self.bodies.get(usize::try_from(index).ok()?))?
    }
}

fn bodies(path: &Path, batch: usize) -> Result<Vec<Bytes>> {
    use std::io::Read;
    let name = || format!("cannot read {}", path.display());
    let mut text = Vec::new();
    let file = std::fs::File::open(path).with_context(name)?;
    file.take(AT_MOST as u64)
        .read_to_end(&mut text)
        .with_context(name)?;
    let end = text.iter().rposition(|byte| *byte == b'\n');
    text.truncate(end.map_or(0, |end| end + 1));
    let text = Bytes::from(text);
    let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
    ensure!(lines.len() >= batch, "{} has too few lines", path.display());
    let bodies = lines.chunks_exact(batch).map(|lines| {
        let whole: usize = lines.iter().map(|line| line.len()).sum();
        let body = text.slice_ref(lines[0]);
        let start = body.as_ptr() as usize - text.as_ptr() as usize;
        // One event is a body without a line's end; several are lines.
        text.slice(start..start + whole - usize::from(batch == 1))
    });
    Ok(bodies.collect())
}

/// A request's head, but for its length.
#[derive(Debug)]
pub(crate) struct Head {
    /// From the request line to before the length.
    before: String,
    /// From after the length.
    after: String,
    /// All but the length.
    pub(crate) headers: HeaderMap,
    pub(crate) path: String,
}

impl Head {
    fn new(text: &str) -> Result<Head> {
        let mut lines = text.trim_end().lines();
        let request = lines.next().context("the head is empty")?;
        let path = request.split(' ').nth(1).context("it names no path")?;
        let mut before = format!("{request}\r\n");
        let (mut after, mut headers) = (String::from("\r\n"), HeaderMap::new());
        let mut there = false;
        for line in lines {
            let (name, value) = line.split_once(':').context("a header has no colon")?;
            if name.eq_ignore_ascii_case("content-length") {
                before.push_str("Content-Length: ");
                there = true;
                continue;
            }
            let part = if there { &mut after } else { &mut before };
            part.push_str(line);
            part.push_str("\r\n");
            headers.append(
                name.parse::<HeaderName>().context("a header's name")?,
                HeaderValue::from_str(value.trim()).context("a header's value")?,
            );
        }
        ensure!(there, "the head has no Content-Length");
        after.push_str("\r\n");
        Ok(Head {
            before,
            after,
            headers,
            path: path.to_owned(),
        })
    }

    /// Appends the head of a request of so many bytes.
    pub(crate) fn write(&self, length: usize, out: &mut Vec<u8>) {
        use std::io::Write;
        out.extend_from_slice(self.before.as_bytes());
        // Writing to memory does not fail.
        drop(write!(out, "{length}"));
        out.extend_from_slice(self.after.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_written_as_it_was_seen_but_for_the_length() {
        let seen = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\nProducer-Type: r\r\n\r\n";
        let head = Head::new(seen).unwrap();
        let mut written = Vec::new();
        head.write(3_500, &mut written);
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written, seen.replace("h: 7", "h: 3500"));
        assert_eq!(head.path, "/a");
        assert_eq!(head.headers.len(), 2);
        assert!(Head::new("POST / HTTP/1.1\r\nHost: x\r\n\r\n").is_err());
    }

    #[test]
    fn one_event_is_a_body_without_its_line_feed_and_several_are_lines() {
        let folder = std::env::temp_dir().join(format!("bench-load-{}", std::process::id()));
        std::fs::write(&folder, "{1}\n{2}\n{3}\n{4").unwrap();
        let one: Vec<_> = bodies(&folder, 1).unwrap();
        assert_eq!(one, ["{1}", "{2}", "{3}"]);
        assert_eq!(bodies(&folder, 2).unwrap(), ["{1}\n{2}\n"]);
        assert!(bodies(&folder, 4).is_err());
        std::fs::remove_file(&folder).unwrap();
    }
}
