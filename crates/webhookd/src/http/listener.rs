//! Listeners by address: sockets of our own, and those that systemd has opened and passes by name
//! (`FileDescriptorName=`).

use super::socket::Listener;
use anyhow::{Context, Result, bail};
use listenfd::ListenFd;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The sockets that systemd passed and that are not taken yet, by name.
static PASSED: OnceLock<Mutex<Vec<(String, Listener)>>> = OnceLock::new();

/// Listens on `HOST:PORT`. `systemd` stands for every socket that systemd passes as `passed`, and
/// `fd:NAME` for those under another name.
///
/// # Errors
/// The address is not valid or in use, or systemd passed no socket of this name.
pub(crate) fn listen(address: &str, option: &str, passed: &str) -> Result<Vec<Listener>> {
    let name = match address.strip_prefix("fd:") {
        Some(name) => name,
        None if address == "systemd" => passed,
        None => return Ok(vec![Listener::bind(address, option)?]),
    };
    take(name).with_context(|| format!("cannot use {option} {address}"))
}

/// Takes the sockets that were passed under this name.
///
/// # Errors
/// There are none, or systemd passed something that is not a listening socket.
fn take(name: &str) -> Result<Vec<Listener>> {
    if PASSED.get().is_none() {
        let passed = receive()?;
        PASSED.get_or_init(|| Mutex::new(passed));
    }
    let Some(passed) = PASSED.get() else {
        return Ok(Vec::new());
    };
    let mut passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
    let (wanted, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut *passed)
        .into_iter()
        .partition(|(found, _)| found == name);
    *passed = rest;
    if wanted.is_empty() {
        let others: Vec<_> = passed.iter().map(|(name, _)| name.as_str()).collect();
        let others = match &others[..] {
            [] => "nothing".to_owned(),
            names => names.join(", "),
        };
        bail!(
            "systemd passed no socket `{name}`, but {others}: set FileDescriptorName={name} in the \
             .socket unit"
        );
    }
    Ok(wanted.into_iter().map(|(_, listener)| listener).collect())
}

fn receive() -> Result<Vec<(String, Listener)>> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    let mut passed = ListenFd::from_env();
    (0..passed.len())
        .map(|index| {
            let name = names.next().unwrap_or_default();
            let odd = || format!("what systemd passes as `{name}` is not a listening socket");
            let tcp = passed.take_tcp_listener(index);
            let listener = match tcp {
                Ok(listener) => listener.map(Listener::Tcp),
                // Not a TCP socket: only the error for a Unix socket is reported.
                Err(_) => passed
                    .take_unix_listener(index)
                    .with_context(odd)?
                    .map(Listener::Unix),
            };
            Ok((name.clone(), listener.with_context(odd)?))
        })
        .collect()
}
