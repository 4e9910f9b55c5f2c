//! `sources`: streams and the Kubernetes API.

use crate::{errors, parse, problems};
use std::path::Path;
use webhook_config::{Config, ConfigText, SourceKind, Stream};

fn file(sources: &str) -> String {
    let inputs = r#"{"nomad":{"schema":"nomad"}}"#;
    format!(
        r#"{{"targetURL":"http://x/","headers":{{}},"timeoutMsec":5000,"inputs":{inputs},"sources":{sources}}}"#
    )
}

fn stream(text: &str) -> Stream {
    let config = parse(&file(text)).unwrap().config;
    match config.sources()[0].kind() {
        SourceKind::Stream(stream) => stream.clone(),
        other => panic!("{other:?}"),
    }
}

const NOMAD: &str = r#"[{"stream":{"url":"http://127.0.0.1:4646/v1/event/stream?index={cursor}",
    "cursor":"/Index","repeatsCursor":true},"input":"nomad"}]"#;

#[test]
fn a_stream_has_the_documented_defaults() {
    let config = parse(&file(NOMAD)).unwrap().config;
    let source = &config.sources()[0];
    assert_eq!((source.name(), source.input()), ("nomad", Some("nomad")));
    let it = stream(NOMAD);
    assert_eq!(it.cursor().unwrap().to_string(), "/Index");
    assert_eq!(it.initial_cursor(), "");
    let connection = source.connection();
    assert_eq!(connection.timeout().as_millis(), 10_000);
    assert_eq!(connection.silence().as_millis(), 90_000);
    assert_eq!(connection.retry().initial().as_millis(), 1_000);
    assert_eq!(connection.retry().max().as_millis(), 30_000);
    assert!(parse(&file("[]")).unwrap().config.sources().is_empty());
}

#[test]
fn a_shown_source_reads_back_the_same() {
    let kubernetes = r#"[{"name":"pods","kubernetes":{"server":"https://k:6443","namespace":"n",
        "resources":["pods","jobs.batch"],"labelSelector":"a=b","fieldSelector":"c!=d"}}]"#;
    for sources in [NOMAD, kubernetes] {
        let config = parse(&file(sources)).unwrap().config;
        let shown = serde_json::to_string_pretty(&config.show()).unwrap();
        assert_eq!(parse(&shown).unwrap().config, config, "{shown}");
    }
}

#[test]
fn a_source_that_cannot_work_is_an_error() {
    for (sources, code) in [
        (r#"[{}]"#, "missing-key"),
        (r#"[{"stream":{}}]"#, "missing-key"),
        (
            r#"[{"stream":{"url":"http://x/"},"input":"nomda"}]"#,
            "unknown-input",
        ),
        (
            r#"[{"stream":{"url":"http://x/?i={cursor}"}}]"#,
            "incomplete-keys",
        ),
        (
            r#"[{"stream":{"url":"http://x/?i={index}"}}]"#,
            "invalid-url",
        ),
        (r#"[{"stream":{"url":"http://u:p@x/"}}]"#, "url-credentials"),
        (
            r#"[{"stream":{"url":"http://x/{cursor}","cursor":"Index"}}]"#,
            "out-of-range",
        ),
        (
            r#"[{"stream":{"url":"http://x/{cursor}","cursor":"/a~2"}}]"#,
            "out-of-range",
        ),
        (
            r#"[{"stream":{"url":"http://x/","silenceMsec":0}}]"#,
            "out-of-range",
        ),
        (
            r#"[{"stream":{"url":"http://x/","tokenFile":"none"}}]"#,
            "unresolved-secret",
        ),
        (
            r#"[{"stream":{"url":"http://x/","retry":{"initialMsec":9,"maxMsec":8}}}]"#,
            "invalid-retry",
        ),
        (
            r#"[{"name":"a b","stream":{"url":"http://x/"}}]"#,
            "invalid-name",
        ),
        (
            r#"[{"stream":{"url":"http://x/"}},{"stream":{"url":"http://y/"}}]"#,
            "duplicate-name",
        ),
        (
            r#"[{"stream":{"url":"http://x/"},"kubernetes":{"resources":["pods"]}}]"#,
            "conflicting-keys",
        ),
        (
            r#"[{"kubernetes":{"server":"https://k/","resources":[]}}]"#,
            "missing-key",
        ),
        (
            r#"[{"kubernetes":{"server":"https://k/","resources":["Pods"]}}]"#,
            "invalid-name",
        ),
        (
            r#"[{"kubernetes":{"server":"https://k/","resources":["pods","pods"]}}]"#,
            "duplicate-name",
        ),
        (
            r#"[{"kubernetes":{"server":"https://k/?a","resources":["pods"]}}]"#,
            "invalid-url",
        ),
        (
            r#"[{"kubernetes":{"server":"https://k/","resources":["pods"],"namespace":"a/b"}}]"#,
            "invalid-name",
        ),
    ] {
        assert_eq!(errors(&file(sources)), [code], "{sources}");
    }
    let warned = problems(&file(
        r#"[{"stream":{"url":"http://x/","cursor":"/Index"}}]"#,
    ));
    assert_eq!(warned.iter().next().unwrap().code().as_str(), "ineffective");
}

#[test]
fn the_secrets_of_a_source_are_neither_shown_nor_printed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "hunter2\n").unwrap();
    let sources = r#"[{"stream":{"url":"http://x/?token=hunter2&i={cursor}","cursor":"/i",
        "headers":{"X-Nomad-Token":{"file":"token"}}}},
        {"name":"k","kubernetes":{"server":"https://k","resources":["pods"],"tokenFile":"token"}}]"#;
    let parse = |text: &str| Config::parse_in(folder.path(), "f", text.as_bytes());
    let loaded = parse(&file(sources)).unwrap();
    let shown = serde_json::to_string(&loaded.config.show()).unwrap();
    let all = format!(
        "{shown} {:?} {}",
        loaded.config,
        loaded.warnings.render(false)
    );
    assert!(!all.contains("hunter2"), "{all}");
    let token = loaded.config.sources()[1].connection().token_file();
    assert_eq!(token, Some(folder.path().join("token").as_path()));
    let wrong = sources.replace("{cursor}", "{index}");
    let bad = parse(&file(&wrong)).unwrap_err();
    assert!(!bad.to_string().contains("hunter2"), "{bad}");
}

#[test]
fn without_a_server_the_service_account_of_the_container_is_used() {
    let text = file(r#"[{"kubernetes":{"resources":["pods"]}}]"#);
    let error = Config::parse_in(Path::new("."), "f", text.as_bytes()).unwrap_err();
    let messages: Vec<_> = error
        .diagnostics()
        .iter()
        .map(|it| it.message().to_owned())
        .collect();
    // The tests run outside a cluster.
    assert!(
        messages[0].contains("KUBERNETES_SERVICE_HOST"),
        "{messages:?}"
    );
    assert!(
        messages
            .iter()
            .any(|it| it.contains("serviceaccount/token")),
        "{messages:?}"
    );
    assert!(
        messages
            .iter()
            .any(|it| it.contains("serviceaccount/ca.crt")),
        "{messages:?}"
    );
}

#[test]
fn the_files_of_the_documentation_are_valid() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/streams.md");
    let page = std::fs::read_to_string(page).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let blocks: Vec<_> = page.split("```json\n").skip(1).collect();
    assert!(blocks.len() >= 2);
    for block in blocks {
        let text = block.split("```").next().unwrap();
        let path = folder.path().join("webhook.json");
        std::fs::write(&path, text).unwrap();
        let found = ConfigText::read(&path).unwrap().check_without_secrets();
        assert!(found.is_empty(), "{}", found.render(false));
    }
}
