//! Checks of the repository's text: names that the sources of a crate must not contain, paths of
//! one machine, and tests that a page names but that do not exist.

use crate::syntax::Syntax;
use crate::{promises, workspace};
use anyhow::{Context, Result, anyhow};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeMap;
use std::path::Path;

/// Names, separated by spaces, that the code below a folder must not contain. Comments and strings
/// may, and so may some files.
struct Ban {
    under: &'static str,
    words: &'static str,
    except: &'static [&'static str],
    why: &'static str,
}

const SOCKETS: &str = "TcpListener TcpStream ToSocketAddrs UdpSocket UnixListener UnixStream";

const BANS: &[Ban] = &[
    Ban {
        under: "crates",
        words: "ureq",
        except: &[
            "crates/webhook-dispatch/src/http/ureq_layers.rs",
            "crates/webhookd/src/sources/stream/client.rs",
        ],
        why: "only one file of a crate uses the HTTP client, so that it can be replaced",
    },
    Ban {
        under: "",
        words: "unsafe",
        except: &["crates/webhook-queue/src/disk_queue/tables.rs"],
        why: "only opening the LMDB environment needs it",
    },
    Ban {
        under: "crates/webhook-model/src",
        words: "File Instant SystemTime stdin",
        except: &[],
        why: "webhook-model does no I/O and has no clock",
    },
    no_sockets("crates/webhook-model/src", "webhook-model does no I/O"),
    no_sockets(
        "crates/webhook-config/src",
        "webhook-config opens no socket",
    ),
    no_sockets("crates/webhook-queue/src", "webhook-queue opens no socket"),
];

const fn no_sockets(under: &'static str, why: &'static str) -> Ban {
    Ban {
        under,
        words: SOCKETS,
        except: &[],
        why,
    }
}

/// The folder whose code only decides: callers pass the time in. Its tests are exempt.
const PURE: &str = "crates/webhook-dispatch/src/target";
const IMPURE: &str = ".elapsed Clock Instant::now SystemClock SystemTime::now Condvar Mutex RwLock \
    crossbeam_channel std::fs std::io std::net std::process std::thread";

/// Folders without text of the project: version control, build output, test data.
const NOT_OURS: &[&str] = &[".git", "target", "tests/data", "tests/fixtures"];
/// The extensions of files that are checked.
const TEXTS: &[&str] = &["rs", "toml", "md", "yml", "sh", ""];
/// Prefixes of paths that exist on one machine only; in pieces, since this file is checked too.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
];

/// Checks the sources of the repository.
///
/// # Errors
///
/// Names each file and line that breaks a rule, or the file that cannot be read.
pub(crate) fn check() -> Result<()> {
    let root = workspace::root();
    let mut problems = Vec::new();
    let mut seen = BTreeMap::new();
    let is_ours = |path: &Path| !NOT_OURS.iter().any(|name| path == root.join(name));
    for path in workspace::files(&root, is_ours)? {
        let name = path
            .strip_prefix(&root)
            .unwrap_or(&path)
            .to_string_lossy()
            .into_owned();
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        // In a worktree, `.git` is a file.
        if !TEXTS.contains(&extension.as_ref()) || name == ".git" {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
        problems.extend(machine_paths(&name, &text));
        if extension == "rs" {
            let tokens: TokenStream = text
                .parse()
                .map_err(|error| anyhow!("{name} is not Rust: {error}"))?;
            if Path::new(&name).starts_with(PURE) && !name.ends_with("/tests.rs") {
                problems.extend(impurities(&name, &text)?);
            }
            problems.extend(banned_words(&name, tokens, BANS));
        }
        seen.insert(name, text);
    }
    for file in BANS.iter().flat_map(|ban| ban.except) {
        if !seen.contains_key(*file) {
            problems.push(format!("{file}: BANS excepts it, but it does not exist"));
        }
    }
    if !seen.keys().any(|name| Path::new(name).starts_with(PURE)) {
        problems.push(format!("{PURE}: PURE names it, but it does not exist"));
    }
    workspace::fail_on(&problems, "the rules in xtask/src/sources.rs are broken")?;
    let rust = seen.iter().filter(|(name, _)| name.ends_with(".rs"));
    promises::check(rust.map(|(_, text)| text.as_str()))
}

fn banned_words(name: &str, tokens: TokenStream, bans: &[Ban]) -> Vec<String> {
    let bans: Vec<&Ban> = bans
        .iter()
        .filter(|ban| Path::new(name).starts_with(ban.under) && !ban.except.contains(&name))
        .collect();
    let mut problems = Vec::new();
    words(tokens, &mut |word, line| {
        for ban in &bans {
            if ban.words.split(' ').any(|banned| banned == word) {
                problems.push(format!("{name}:{line}: names `{word}`, but {}", ban.why));
            }
        }
    });
    problems
}

/// Each use of a clock, I/O or threads in a file below [`PURE`].
fn impurities(name: &str, text: &str) -> Result<Vec<String>> {
    let syntax = Syntax::parse(text).with_context(|| format!("{name} is not Rust"))?;
    let mut problems = Vec::new();
    for (path, line) in syntax.paths() {
        let whole = format!("::{}::", path.join("::"));
        let banned = IMPURE
            .split(' ')
            .filter(|banned| whole.contains(&format!("::{banned}::")));
        problems.extend(banned.map(|banned| {
            format!("{name}:{line}: uses `{banned}`, but {PURE} has no clock, I/O or thread")
        }));
    }
    Ok(problems)
}

/// Calls `visit` with each identifier and its line.
fn words(tokens: TokenStream, visit: &mut impl FnMut(&str, usize)) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => words(group.stream(), visit),
            TokenTree::Ident(ident) => {
                let word = ident.to_string();
                visit(word.trim_start_matches("r#"), ident.span().start().line);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn machine_paths(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (line, content) in text.lines().enumerate() {
        for path in MACHINE_PATHS {
            let at_start = content.match_indices(path).any(|(at, _)| {
                // `https://example.com/work/` is not such a path.
                let before = content.get(..at).and_then(|head| head.chars().next_back());
                !before.is_some_and(|c| c.is_alphanumeric() || "._-}*".contains(c))
            });
            if at_start {
                problems.push(format!(
                    "{name}:{}: a path on one machine, {path}",
                    line + 1
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAN: &[Ban] = &[Ban {
        under: "crates",
        words: "ureq",
        except: &["crates/sender/src/transport.rs"],
        why: "it is reserved",
    }];

    fn tokens(text: &str) -> TokenStream {
        text.parse().expect("it is Rust")
    }

    fn check(name: &str, text: &str, expected: &[String]) {
        assert_eq!(banned_words(name, tokens(text), BAN), expected);
    }

    #[test]
    fn a_banned_name_is_found_with_its_line() {
        let text = "//! Docs.\nuse ureq::Agent;\nfn f() { let x = [ureq::get()]; }\nuse r#ureq::A;";
        let told =
            [2, 3, 4].map(|line| format!("crates/a.rs:{line}: names `ureq`, but it is reserved"));
        check("crates/a.rs", text, &told);
    }

    #[test]
    fn comments_strings_the_excepted_file_and_other_folders_may_contain_it() {
        let text = "//! Not ureq.\n/// ureq\nfn f() { /* ureq */ g(\"ureq\"); } // ureq";
        check("crates/model/src/lib.rs", text, &[]);
        for name in [
            "crates/sender/src/transport.rs",
            "other/lib.rs",
            "crates-old/lib.rs",
        ] {
            check(name, "use ureq::Agent;", &[]);
        }
    }

    #[test]
    fn unsafe_is_found_in_a_macro_too() {
        let text = "macro_rules! m { () => { unsafe { f() } } }";
        let found = banned_words("tests/testkit/src/lib.rs", tokens(text), BANS);
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn clocks_io_and_threads_are_found_outside_of_tests() {
        let text = "use std::{time::Instant, thread};\n\
                    fn f(at: Instant) { if at.elapsed() > at - Instant::now() { std::fs::read(x) } }\n\
                    mod inner { use crate::clock::Clock; }\n\
                    #[cfg(test)] mod tests { fn now() -> Instant { Instant::now() } }";
        let mut found = impurities("a.rs", text).expect("it is Rust");
        found.sort();
        let told: Vec<_> = found
            .iter()
            .filter_map(|told| told.split(", but").next())
            .collect();
        assert_eq!(
            told,
            [
                "a.rs:1: uses `std::thread`",
                "a.rs:2: uses `.elapsed`",
                "a.rs:2: uses `Instant::now`",
                "a.rs:2: uses `std::fs`",
                "a.rs:3: uses `Clock`",
            ]
        );
    }

    #[test]
    fn a_path_on_a_machine_is_found_and_a_url_is_not() {
        let path = MACHINE_PATHS[0];
        let text = format!("see {path}x\nand `{path}x`\nhttps://example.com{path}x\n");
        let found = machine_paths("README.md", &text);
        assert_eq!(
            found,
            [
                format!("README.md:1: a path on one machine, {path}"),
                format!("README.md:2: a path on one machine, {path}"),
            ]
        );
    }
}
