//! Sockets that systemd has opened and passes by name (`FileDescriptorName=`).

use super::listener::Listener;
use anyhow::{Context, Result, bail};
use listenfd::ListenFd;
use std::sync::{Mutex, OnceLock, PoisonError};

/// What was passed and is not taken yet, with its name.
static PASSED: OnceLock<Mutex<Vec<(String, Listener)>>> = OnceLock::new();

/// Takes the sockets that were passed under this name.
///
/// # Errors
/// There are none, or something that is no listening socket was passed.
pub(super) fn take(name: &str) -> Result<Vec<Listener>> {
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
            let odd = || format!("what systemd passes as `{name}` is no listening socket");
            let tcp = passed.take_tcp_listener(index);
            let listener = match tcp {
                Ok(listener) => listener.map(Listener::Tcp),
                // The other kind; an error is told for that.
                Err(_) => passed
                    .take_unix_listener(index)
                    .with_context(odd)?
                    .map(Listener::Unix),
            };
            Ok((name.clone(), listener.with_context(odd)?))
        })
        .collect()
}
