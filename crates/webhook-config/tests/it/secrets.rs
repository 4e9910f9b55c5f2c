//! No secret is in any output.

use crate::{parse, problems};
use proptest::prelude::*;
use serde_json::json;
use webhook_config::Config;

/// Everything that is ever printed about a text.
fn outputs(text: &str) -> String {
    let problems = problems(text);
    let mut all = format!(
        "{problems:?}\n{problems}\n{}\n{}\n{}",
        problems.render(false),
        problems.render(true),
        serde_json::to_string(&problems).unwrap(),
    );
    match parse(text) {
        Ok(loaded) => {
            all += &format!("{loaded:?}\n{:?}", loaded.config);
            all += &serde_json::to_string(&loaded.config.show()).unwrap();
        }
        Err(error) => all += &format!("{error}\n{error:?}"),
    }
    all
}

/// A secret's text: long enough not to be found by chance.
fn secret() -> impl Strategy<Value = String> {
    "S3[a-zA-Z0-9+/=._~:@ -]{16,30}[a-z0-9]{16}"
}

/// A file with a secret in every place that allows one, and then with a mistake.
fn file(secret: &str) -> String {
    json!({
        "targetURL": format!("https://user:{}@example.com/", secret.replace(['/', ' ', '=', '@'], "x")),
        "headers": { "Authorization": secret, "X-Api-Key": format!("Bearer {secret}") },
        "timeoutMsec": 5000,
        "format": "template",
        "template": { "routing_key": secret, "list": [{ "token": secret }] },
        "signing": { "secrets": [secret, format!("whsec_{secret}")] },
        "oauth2": { "tokenURL": "https://example.com/", "clientId": "x", "clientSecret": secret, "scopes": 1 },
        "tls": { "clientKey": secret },
        "proxy": format!("http://u:{}@proxy:1", secret.replace(['/', ' ', '=', '@'], "x")),
        "queue": { "postgres": { "url": format!("postgres://u:{secret}@db/events?password={secret}") } },
        "header": { "Authorization": secret },
        "password": secret,
        "timeoutMs": [secret, { "k": secret }],
    })
    .to_string()
}

proptest! {
    #[test]
    fn a_secret_is_in_no_output(secret in secret(), at in 0usize..700, wound in "[\"\\\\{},x]{0,2}", pretty: bool) {
        let mut text = file(&secret);
        if pretty {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            text = format!("{value:#}");
        }
        let mut wounded = text.clone();
        wounded.insert_str(at.min(text.len()), &wound);
        let inner = secret.replace(['/', ' ', '=', '@'], "x");
        for text in [text, wounded] {
            let all = outputs(&text);
            // A mutation within the secret splits it.
            prop_assert!(!all.contains(&secret), "{}", all);
            prop_assert!(!all.contains(&inner), "{}", all);
        }
    }
}

#[test]
fn a_valid_file_shows_only_the_names_and_sources_of_secrets() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "Bearer hunter2-from-file\r\n").unwrap();
    let file = json!({
        "targetURL": "https://user:hunter2@example.com/",
        "headers": {
            "X-From-File": { "file": "token" },
            "X-From-Env": { "env": "CARGO_MANIFEST_DIR" },
            "Authorization": "Basic hunter2",
            "Content-Type": "application/json",
        },
        "timeoutMsec": 5000,
        "signing": { "secrets": ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"] },
    });
    let path = dir.path().join("webhook.json");
    std::fs::write(&path, file.to_string()).unwrap();
    let loaded = Config::load(&path).unwrap();
    let target = &loaded.config.targets()[0];
    assert_eq!(target.headers()["x-from-file"], "Bearer hunter2-from-file");
    assert_eq!(target.headers()["x-from-env"], env!("CARGO_MANIFEST_DIR"));
    let shown = serde_json::to_string(&loaded.config.show()).unwrap();
    let debugged = format!("{loaded:?}");
    for output in [&shown, &debugged] {
        for secret in ["hunter2", "whsec_", "C2FVs", env!("CARGO_MANIFEST_DIR")] {
            assert!(!output.contains(secret), "{secret} in {output}");
        }
    }
    assert!(
        debugged.contains("CARGO_MANIFEST_DIR"),
        "the source is named: {debugged}"
    );
    assert!(
        shown.contains(r#""Content-Type":"application/json""#),
        "{shown}"
    );
}

#[test]
fn the_password_of_a_database_is_in_no_output() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("url"), "postgres://u:hunter2@db/events\n").unwrap();
    let path = dir.path().join("webhook.json");
    let text = |url: serde_json::Value| {
        let queue = json!({ "postgres": { "url": url } });
        json!({ "targetURL": "http://x/", "headers": {}, "timeoutMsec": 5000, "queue": queue })
            .to_string()
    };
    for url in [
        "postgres://u:hunter2@db:5432/events",
        "postgres://u:hunter2@db:port/events",
        "postgresql://db/events?user=u&password=hunter2",
        "host=db password=hunter2 dbname=events",
        "host=db password='hunter2 dbname=events",
        "password=hunter2",
        "hunter2",
    ] {
        let text = text(json!(url));
        for text in [
            text.clone(),
            text.replace("timeoutMsec", "timeoutMs"),
            text.replace("}}}", "}}"),
        ] {
            let all = outputs(&text);
            assert!(!all.contains("hunter2"), "{text}: {all}");
        }
    }
    std::fs::write(&path, text(json!({ "file": "url" }))).unwrap();
    let config = Config::load(&path).unwrap().config;
    let url = config.queue().postgres().unwrap().url();
    assert!(url.expose().contains("hunter2"));
    let shown = serde_json::to_string(&config.show()).unwrap();
    assert!(shown.contains("postgres://u:***@db/events"), "{shown}");
    assert!(!format!("{shown} {config:?}").contains("hunter2"));
}

#[test]
fn a_token_in_a_url_is_in_no_output() {
    const TOKEN: &str = "XyZ0aB1cD2eF3gH4iJ5kL6mN";
    for url in [
        format!("https://h.example/services/T0/{TOKEN}"),
        format!("https://h.example/hook/{TOKEN}/in?x=1"),
        format!("https://h.example/hook?key={TOKEN}"),
        format!("https://h.example/hook?a=b&{TOKEN}#{TOKEN}"),
        format!("https://b\u{fc}cher.example/{TOKEN}"),
        format!("url:https://h.example/./{TOKEN}"),
        format!("https://h.example:0/{TOKEN}"),
        format!("https://h.example/{TOKEN}/%zz"),
    ] {
        let file = json!({ "targetURL": url, "headers": {}, "timeoutMsec": 50 });
        let escaped = file.to_string().replace("/", "\\/");
        for text in [file.to_string(), format!("{file:#}"), escaped] {
            let all = outputs(&text);
            assert!(!all.contains(TOKEN), "{text}: {all}");
            let all = outputs(&text.replace("timeoutMsec", "timeoutMs"));
            assert!(!all.contains(TOKEN), "{text}: {all}");
        }
    }
}

#[test]
fn a_url_comes_from_a_file_or_the_environment_and_shows_its_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("webhook.json");
    let load = |url: serde_json::Value| {
        let file = json!({ "targetURL": url, "headers": {}, "timeoutMsec": 5000 });
        std::fs::write(&path, file.to_string()).unwrap();
        Config::load(&path)
    };
    let url = |text: &str| std::fs::write(dir.path().join("url"), text).unwrap();
    url("https://h.example:8443/hook/hunter2?a=hunter2\n");
    let loaded = load(json!({ "file": "url" })).unwrap();
    let target = &loaded.config.targets()[0];
    let requested = "https://h.example:8443/hook/hunter2?a=hunter2";
    assert_eq!(target.url().as_uri().to_string(), requested);
    let shown = serde_json::to_string(&loaded.config.show()).unwrap();
    assert!(shown.contains(r#""targetURL":"https://h.example:8443/***""#));
    assert!(!format!("{shown} {loaded:?}").contains("hunter2"));

    url("https://h.example/other");
    let again = load(json!({ "file": "url" })).unwrap();
    assert_ne!(again.config.targets(), loaded.config.targets(), "a reload");

    url("http//h.example/hunter2");
    let error = load(json!({ "file": "url" })).unwrap_err();
    assert!(error.to_string().contains("invalid-url"), "{error}");
    for problem in [
        error,
        load(json!({ "env": "HUNTER2_NOT_SET" })).unwrap_err(),
        load(json!({ "file": "absent" })).unwrap_err(),
        load(json!({})).unwrap_err(),
        load(json!([])).unwrap_err(),
    ] {
        assert!(!format!("{problem} {problem:?}").contains("hunter2"));
    }
}

#[cfg(unix)]
#[test]
fn a_literal_secret_in_a_world_readable_file_is_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("webhook.json");
    let text = r#"{"targetURL": "http://x/", "headers": {"Authorization": "x", "A": "b"}, "timeoutMsec": 500}"#;
    std::fs::write(&path, text).unwrap();
    for (mode, expected) in [(0o644, 1), (0o640, 0), (0o600, 0)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let warnings = Config::load(&path).unwrap().warnings;
        let exposed = warnings
            .iter()
            .filter(|it| it.code().as_str() == "exposed-secret");
        assert_eq!(exposed.count(), expected, "{mode:o}");
    }
}
