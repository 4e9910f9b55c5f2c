//! What `docs/receivers.md` shows of the receivers is in their files.

use crate::programs::{needed, source, starts};
use testkit::{FLASK, Folder, Launch, Python, free_port, repository, webhookd};

fn page() -> String {
    source(&repository("docs/receivers.md"))
}

/// The blocks of code in a language.
fn blocks(language: &str) -> Vec<String> {
    let page = page();
    let parts = page.split("\n```");
    let blocks = parts.filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n'));
    blocks.map(|block| format!("{block}\n")).collect()
}

/// The one block of code in a language.
pub(crate) fn block(language: &str) -> String {
    let mut blocks = blocks(language);
    assert_eq!(blocks.len(), 1, "blocks of {language} in the page");
    blocks.remove(0)
}

#[test]
fn the_code_of_the_page_is_that_of_the_programs() {
    for (language, file) in [("python", "python/app.py"), ("js", "node/app.js")] {
        let program = source(&repository("docs/receivers").join(file));
        // The page imports what its block needs, the program more.
        for part in block(language).split("\n\n\n") {
            let (imports, code): (Vec<_>, Vec<_>) = part.lines().partition(|line| {
                line.starts_with("import ") || line.starts_with("const crypto =")
            });
            let code = code.join("\n");
            assert!(program.contains(code.trim()), "{file} has not:\n{code}");
            for line in imports {
                assert!(
                    program.lines().any(|it| it == line),
                    "{file} has not: {line}"
                );
            }
        }
    }
}

#[test]
fn the_page_names_each_program_and_what_it_names_is_there() {
    let page = page();
    for file in ["python/app.py", "node/app.js", "go/main.go"] {
        assert!(page.contains(&format!("](receivers/{file})")), "{file}");
    }
    for link in page.split("](").skip(1) {
        let link = link.split([')', '#']).next().unwrap_or_default();
        if !link.is_empty() && !link.contains("://") {
            assert!(repository("docs").join(link).exists(), "{link}");
        }
    }
}

#[test]
fn the_steps_of_the_page_deliver_an_event_to_the_receiver() {
    let Some(python) = needed(Python::with(&[FLASK])) else {
        return;
    };
    let tools = [("curl", "--version"), ("openssl", "version")].map(|(tool, it)| starts(tool, it));
    if tools.into_iter().any(|tool| needed(tool).is_none()) {
        return;
    }
    let folder = Folder::new();
    folder.write(
        "app.py",
        source(&repository("docs/receivers/python/app.py")),
    );
    let [by_hand, by_webhookd] = &blocks("sh")[..] else {
        panic!("the page has two blocks of commands");
    };
    let script = format!("{by_hand}\ntrap \"kill $!\" EXIT\n{by_webhookd}");
    let script = script.replace("5000", &free_port().to_string());
    let programs = webhookd()
        .parent()
        .expect("a file is in a folder")
        .display();
    let path = std::env::var("PATH").unwrap_or_default();
    let ended = Launch::of("sh")
        .args(["-c", &script])
        .env(
            "PATH",
            &format!("{}:{programs}:{path}", python.bin().display()),
        )
        .current_dir(folder.path())
        .run("")
        .expect_code(0);
    let answer = String::from_utf8_lossy(&ended.stdout);
    assert!(answer.contains("HTTP/1.1 204"), "{answer}{}", ended.stderr);
    let read = "import sqlite3\nfor row in sqlite3.connect('events.db').execute('SELECT body FROM events'): print(row[0])";
    let stored = Launch::of(python.bin().join("python3"))
        .args(["-c", read])
        .current_dir(folder.path())
        .run("")
        .expect_code(0);
    let stored = String::from_utf8(stored.stdout).unwrap();
    let expected = [
        r#"{"task":{"status":"LOST"},"oldState":{}}"#,
        r#"{"task":{"assignedTask":{"taskId":"hello-0"},"status":"LOST"},"oldState":{}}"#,
    ];
    assert_eq!(stored.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn webhookd_prints_the_schema_of_the_payload() {
    let ended = Launch::new()
        .args(["schema", "payload"])
        .run("")
        .expect_code(0);
    let printed: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let file = source(&repository("docs/payload.schema.json"));
    assert_eq!(
        printed,
        serde_json::from_str::<serde_json::Value>(&file).unwrap()
    );
}
