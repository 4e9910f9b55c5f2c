//! Measures what the HTTP client costs above a bare socket: both post the same bytes from the same
//! number of threads to a receiver in a process of its own, in turns.
//!
//! ```sh
//! cargo run --release -p webhook-dispatch --example transport_floor -- [SECONDS] [ROUNDS]
//! ```

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use http::{HeaderName, HeaderValue};
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use webhook_config::{Target, TargetUrl};
use webhook_dispatch::{Connector, HeaderLines, HttpConnector, Request};

const THREADS: usize = 8;
const BODY: usize = 3500;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("receive") {
        return receive();
    }
    let seconds: f64 = first.as_deref().unwrap_or("2").parse()?;
    let rounds: usize = arguments.next().as_deref().unwrap_or("5").parse()?;
    let time = Duration::from_secs_f64(seconds);

    let mut receiver = Command::new(std::env::current_exe()?)
        .arg("receive")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let stdout = receiver.stdout.take().ok_or("it is piped")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse()?;

    for _ in 0..rounds {
        let bare = run(time, || bare(address))?;
        let client = run(time, || client(address))?;
        println!(
            "bare {:.0}/s {:.1} µs   client {:.0}/s {:.1} µs   ratio {:.2}",
            bare.0,
            bare.1,
            client.0,
            client.1,
            client.0 / bare.0
        );
    }
    drop(receiver.stdin.take());
    receiver.wait()?;
    Ok(())
}

type Post = Box<dyn FnMut() -> Result<()>>;

/// Posts from all threads for this long. Returns requests per second, and microseconds of this
/// process's processor time per request.
fn run(time: Duration, poster: impl Fn() -> Result<Post> + Sync) -> Result<(f64, f64)> {
    let ended = AtomicBool::new(false);
    let count = AtomicU64::new(0);
    let processor = processor_time()?;
    let started = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut post = poster()?;
                    let mut posted = 0;
                    while !ended.load(Ordering::Relaxed) {
                        post()?;
                        posted += 1;
                    }
                    count.fetch_add(posted, Ordering::Relaxed);
                    Result::Ok(())
                })
            })
            .collect();
        std::thread::sleep(time);
        ended.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })?;
    let elapsed = started.elapsed().as_secs_f64();
    let count = f64::from(u32::try_from(count.into_inner())?);
    let processor = processor_time()?.saturating_sub(processor).as_secs_f64();
    Ok((count / elapsed, processor / count * 1e6))
}

/// The processor time that this process has used, in steps of 10 ms.
fn processor_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, after_name) = stat.rsplit_once(')').ok_or("its format")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = fields.get(11..13).ok_or("its format")?.iter();
    let ticks: u64 = ticks
        .map(|field| field.parse::<u64>())
        .sum::<std::result::Result<_, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// Posts the bytes that the client writes through a bare socket.
fn bare(address: SocketAddr) -> Result<Post> {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         timestamp: 1699900000000\r\nwebhook-id: evt_00000000000000000000000000000000\r\n\
         webhook-attempt: 1\r\nuser-agent: webhookd/0.1.0\r\naccept: */*\r\n\
         content-length: {BODY}\r\n\r\n"
    );
    let mut request = head.into_bytes();
    request.resize(request.len() + BODY, b'x');
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut answer = [0; 4096];
    Ok(Box::new(move || {
        stream.write_all(&request)?;
        let read = stream.read(&mut answer)?;
        if read == 0 {
            return Err("closed".into());
        }
        Ok(())
    }))
}

fn client(address: SocketAddr) -> Result<Post> {
    let target = Target::builder(TargetUrl::parse(&format!("http://{address}/"))?).build()?;
    let mut transport = HttpConnector::new().transport(&target)?;
    let mut headers = HeaderLines::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("timestamp", "1699900000000"),
        ("webhook-id", "evt_00000000000000000000000000000000"),
        ("webhook-attempt", "1"),
        ("user-agent", "webhookd/0.1.0"),
        ("accept", "*/*"),
    ] {
        headers.push(
            &HeaderName::from_static(name),
            &HeaderValue::from_static(value),
        );
    }
    let body = vec![b'x'; BODY];
    Ok(Box::new(move || {
        let answer = transport.send(Request {
            headers: &headers,
            body: &body,
        })?;
        if answer.status != 200 {
            return Err("unexpected status".into());
        }
        Ok(())
    }))
}

/// Answers all requests, with a thread for each connection, until standard input ends.
fn receive() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The error of a closed connection is ignored.
            std::thread::spawn(move || drop(answer(stream)));
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn answer(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut filled = 0;
    loop {
        let free = buffer.get_mut(filled..).ok_or("full")?;
        let read = stream.read(free)?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let input = buffer.get(..filled).ok_or("filled")?;
        let end = input.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if end.is_some_and(|end| filled == end + 4 + BODY) {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            filled = 0;
        }
    }
}
