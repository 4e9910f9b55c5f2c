//! Texts in the configuration that have a form of their own: URLs, patterns, names, secrets.

use crate::seeds::Files;
use webhook_config::{
    InputName, JobPattern, PostgresUrl, ProxyUrl, Resource, SchemaName, SigningSecret, StreamUrl,
    TargetName, TargetUrl,
};

/// The first byte chooses the form, and the rest is the text. What is read is read again from its own
/// text; what is shown controls no terminal and has no password; a pattern matches what a simple
/// matcher matches.
pub(crate) fn run(input: &[u8]) {
    let Some((form, text)) = input.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    match form {
        b'u' => target_url(text),
        b's' => stream_url(text),
        b'p' => postgres_url(text),
        b'x' => proxy_url(text),
        b'j' => job_pattern(text),
        b'r' => {
            if let Ok(resource) = Resource::parse(text) {
                assert_eq!(resource.to_string(), text);
            }
        }
        b'w' => {
            if let Ok(secret) = SigningSecret::parse(text) {
                assert!((24..=64).contains(&secret.key().len()));
                assert!(!format!("{secret:?}").contains(text));
            }
        }
        b'n' => {
            let name = TargetName::new(text).map(|it| it.to_string());
            assert!(name.is_ok_and(|name| name == text) || TargetName::new(text).is_err());
            let name = InputName::new(text).map(|it| it.to_string());
            assert!(name.is_ok_and(|name| name == text) || InputName::new(text).is_err());
            let name = SchemaName::new(text).map(|it| it.to_string());
            assert!(name.is_ok_and(|name| name == text) || SchemaName::new(text).is_err());
        }
        _ => {}
    }
}

fn check_shown(text: &str) {
    assert_eq!(text.chars().find(|it| it.is_control()), None, "{text:?}");
}

fn target_url(text: &str) {
    let url = match TargetUrl::parse(text) {
        Ok(url) => url,
        Err(error) => return check_shown(&error.to_string()),
    };
    check_shown(&url.to_string());
    let uri = url.as_uri();
    assert!(uri.host().is_some_and(|host| !host.is_empty()));
    assert!(uri.path().starts_with('/'));
    assert!(!uri.authority().is_some_and(|it| it.as_str().contains('@')));
    let again = TargetUrl::parse(&uri.to_string());
    let again = again.unwrap_or_else(|error| panic!("{error}: {uri}"));
    // Of the dot segments of "/././" one stays, as Aurora's HTTP client left it.
    if !uri.path().split('/').any(|it| matches!(it, "." | "..")) {
        assert_eq!(again.as_uri(), uri);
    }
    assert!(!again.had_userinfo());
}

fn stream_url(text: &str) {
    let url = match StreamUrl::parse(text) {
        Ok(url) => url,
        Err(error) => return check_shown(&error.to_string()),
    };
    check_shown(&url.to_string());
    // Whatever a server makes its cursor, the request goes to the same server.
    let hosts = ["0", "/../@evil:1/?#", "a b\u{e9}\0"].map(|cursor| {
        let at = url.at(cursor).ok()?;
        Some(at.as_uri().authority()?.as_str().to_owned())
    });
    assert!(hosts[0].is_some());
    for host in &hosts[1..] {
        assert!(host.is_none() || *host == hosts[0], "{hosts:?}");
    }
}

fn postgres_url(text: &str) {
    let url = match PostgresUrl::parse(text) {
        Ok(url) => url,
        Err(error) => return check_shown(&error.to_string()),
    };
    check_shown(&url.to_string());
    let exposed = url.expose();
    let again = PostgresUrl::parse(&exposed);
    let again = again.unwrap_or_else(|error| panic!("{error}: {exposed}"));
    assert_eq!(again.expose(), exposed);
    assert_eq!((again.host(), again.port()), (url.host(), url.port()));
    if !url.has_password() {
        let shown = PostgresUrl::parse(&url.to_string());
        let shown = shown.unwrap_or_else(|error| panic!("{error}: {url}"));
        assert_eq!(shown.expose(), exposed);
        assert_eq!(shown.ssl_mode(), url.ssl_mode());
    }
}

fn proxy_url(text: &str) {
    let proxy = match ProxyUrl::parse(text) {
        Ok(proxy) => proxy,
        Err(error) => return check_shown(&error.to_string()),
    };
    check_shown(&proxy.to_string());
    assert!(
        proxy
            .authorization()
            .is_none_or(|value| value.is_sensitive())
    );
    let again = ProxyUrl::parse(proxy.expose());
    let again = again.unwrap_or_else(|error| panic!("{error}: {:?}", proxy.expose()));
    assert_eq!(again.authorization(), proxy.authorization());
    assert_eq!(again.as_uri(), proxy.as_uri());
}

/// A pattern, a line feed, and a job.
fn job_pattern(text: &str) {
    let Some((pattern, job)) = text.split_once('\n') else {
        return;
    };
    let aurora = JobPattern::aurora(pattern);
    let Ok(parsed) = pattern.parse::<JobPattern>() else {
        return assert!(aurora.is_err());
    };
    assert_eq!(parsed.as_str(), pattern);
    let parts: Vec<&str> = job.split('/').collect();
    let expected = matches(pattern.as_bytes(), job.as_bytes());
    assert_eq!(parsed.matches(&parts), expected, "{pattern:?} of {job:?}");
    assert_eq!(parsed.matches(&[job]), expected, "a part may hold several");
}

/// Of each beginning of the text, whether the pattern so far matches it, star by star.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut at = 0;
    while at < pattern.len() {
        let stars = pattern[at..]
            .iter()
            .take_while(|byte| **byte == b'*')
            .count();
        let mut next = vec![false; text.len() + 1];
        if stars == 0 {
            for end in 1..=text.len() {
                next[end] = reached[end - 1] && text[end - 1] == pattern[at];
            }
        } else {
            for end in 0..=text.len() {
                let longer = end > 0 && next[end - 1] && (stars > 1 || text[end - 1] != b'/');
                next[end] = reached[end] || longer;
            }
        }
        reached = next;
        at += stars.max(1);
    }
    reached[text.len()]
}

pub(crate) fn seeds(files: &mut Files) {
    for seed in [
        "uhttp://localhost:5000/a?b=c#d",
        "uhttps://user:hunter2@b\u{fc}cher.example:8443/p%20q",
        "uhttp://[::1]:80/",
        "shttps://nomad:4646/v1/event/stream?index={cursor}",
        "shttp://h/{cursor}/x",
        "ppostgres://user:secret@db1,db2:5433/name?sslmode=verify-full&connect_timeout=5",
        "phost='/run/post gres' user=a\\'b password='x y' dbname=d port=5432",
        "ppostgresql://%2Frun%2Fpg/db",
        "xhttp://user:pa%20ss@proxy:3128",
        "jwww-data/prod/*\nwww-data/prod/hello",
        "j**/a*b**c/*\nx/y/aab/c/d",
        "rpods",
        "rjobs.v1.batch",
        "wwhsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "nteam-a_1",
    ] {
        files.add(seed);
    }
}
