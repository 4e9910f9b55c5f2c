//! `cargo xtask layers` checks which crate depends on which, by the rules below, and that the
//! modules within each crate of `crates/` have an order.
//!
//! To add a dependency, add it to the crate's rule in [`RULES`], and say in
//! `docs/architecture.md` why it is needed.

mod cycles;
mod graph;
mod modules;
mod order;

use crate::{sources, workspace};
use anyhow::Result;
use graph::Graph;
use modules::Modules;
use std::process::ExitCode;

/// What one crate of the workspace may depend on. Names are separated by spaces.
struct Rule {
    /// The crate.
    name: &'static str,
    /// Its normal and build dependencies, on every platform and with every feature, and the
    /// crates of the workspace that its tests use.
    may_use: &'static str,
    /// Crates that it must not depend on, even indirectly.
    must_not_reach: &'static [&'static str],
}

const ASYNC_RUNTIMES: &str = "async-executor async-global-executor async-std futures-executor \
    glommio mio monoio smol tokio";
const HTTP: &str = "curl hyper hyper-util isahc reqwest ureq";
const SOCKETS: &str = "async-io async-net mio socket2";
const STORAGE: &str = "fjall heed lmdb-master-sys redb rusqlite";

/// A crate of the workspace without a rule is an error.
const RULES: &[Rule] = &[
    Rule {
        name: "webhook-model",
        may_use: "serde serde_json",
        must_not_reach: &[ASYNC_RUNTIMES, HTTP, SOCKETS, STORAGE],
    },
    Rule {
        name: "webhook-receiver",
        may_use: "base64 hmac-sha256 serde serde_json subtle thiserror webhook-model",
        must_not_reach: &[ASYNC_RUNTIMES, HTTP, SOCKETS, STORAGE, "http"],
    },
    Rule {
        name: "webhook-event",
        may_use: "jiff serde serde_json thiserror webhook-model",
        must_not_reach: &[ASYNC_RUNTIMES, HTTP, SOCKETS, STORAGE],
    },
    Rule {
        name: "webhook-config",
        may_use: "annotate-snippets base64 http idna rustix rustls-pki-types schemars serde \
                  serde_json strsim thiserror webhook-event webhook-model",
        must_not_reach: &[ASYNC_RUNTIMES, HTTP, SOCKETS, STORAGE],
    },
    Rule {
        name: "webhook-queue",
        may_use: "crc32fast getrandom heed rustix siphasher thiserror",
        must_not_reach: &[
            ASYNC_RUNTIMES,
            HTTP,
            SOCKETS,
            "http serde_json webhook-config webhook-event webhook-model",
        ],
    },
    Rule {
        name: "webhook-queue-postgres",
        may_use: "bytes roaring rustix rustls rustls-pki-types siphasher testkit tokio \
                  tokio-postgres tokio-postgres-rustls webhook-queue webpki-roots",
        must_not_reach: &[
            HTTP,
            "http serde_json webhook-config webhook-dispatch webhook-event",
        ],
    },
    Rule {
        name: "webhook-dispatch",
        may_use: "base64 crossbeam-channel fastrand getrandom hashbrown hdrhistogram hmac-sha256 http \
                  httparse httpdate jiff rustix serde serde_json slab standardwebhooks testkit \
                  thiserror ureq webhook-config webhook-event webhook-model webhook-queue",
        must_not_reach: &[ASYNC_RUNTIMES, "curl hyper isahc reqwest tokio-postgres"],
    },
    Rule {
        name: "webhookd",
        may_use: "anyhow axum base64 clap clap_complete clap_mangen crossbeam-channel fastrand \
                  flate2 hmac-sha256 http-body-util hyper hyper-util indicatif jiff \
                  listenfd memchr prometheus ratatui rustix rustls sd-notify serde serde_json \
                  signal-hook standardwebhooks strsim subtle tokio tokio-rustls tracing \
                  tracing-subscriber ureq webhook-config webhook-dispatch webhook-event \
                  webhook-model webhook-queue webhook-queue-postgres",
        must_not_reach: &[],
    },
    Rule {
        name: "xtask",
        may_use: "anyhow cargo_metadata clap proc-macro2 rustix serde serde_json standardwebhooks syn \
                  tempfile testkit webhook-model",
        // `cargo xtask` compiles it before it does anything.
        must_not_reach: &[ASYNC_RUNTIMES, HTTP],
    },
    Rule {
        name: "bench",
        may_use: "anyhow bytes clap http http-body-util hyper hyper-util memchr plotters \
                  postgres reqwest rustix serde serde_json tempfile testkit tokio",
        must_not_reach: &[],
    },
    Rule {
        name: "hot-paths",
        may_use: "anyhow hashbrown serde serde_json slab tempfile webhook-event webhook-model \
                  webhook-queue",
        must_not_reach: &[ASYNC_RUNTIMES, HTTP],
    },
    Rule {
        name: "fuzz",
        may_use: "anyhow base64 clap crc32fast http-body-util httparse hyper jiff libfuzzer-sys memchr serde \
                  serde_json siphasher stats_alloc tempfile testkit tokio webhook-config \
                  webhook-dispatch webhook-event webhook-model webhook-queue",
        must_not_reach: &[],
    },
    Rule {
        name: "testkit",
        may_use: "base64 memchr rustix serde_json tempfile webhook-model",
        must_not_reach: &[ASYNC_RUNTIMES, HTTP],
    },
    Rule {
        name: "torture",
        may_use: "anyhow clap fastrand serde serde_json tempfile testkit webhook-model",
        must_not_reach: &[ASYNC_RUNTIMES, HTTP],
    },
    Rule {
        name: "schedulers",
        may_use: "anyhow clap serde_json tempfile testkit",
        must_not_reach: &[ASYNC_RUNTIMES, HTTP],
    },
    Rule {
        name: "receivers",
        may_use: "testkit webhook-receiver",
        must_not_reach: &[],
    },
    Rule {
        name: "e2e",
        may_use: "testkit webhook-config webhook-dispatch webhook-model webhook-queue",
        must_not_reach: &[],
    },
];

/// Dependencies that only these crates may have, also among the dependencies of tests.
const RESERVED: &[(&str, &str)] = &[
    ("ureq", "webhook-dispatch webhookd"),
    ("heed", "webhook-queue"),
    ("tokio-postgres", "webhook-queue-postgres"),
    ("webhook-queue-postgres", "webhookd"),
];

/// `cargo xtask layers`.
pub(crate) fn run() -> Result<ExitCode> {
    check()?;
    check_modules()?;
    sources::check()?;
    Ok(ExitCode::SUCCESS)
}

/// Checks the dependencies of the workspace's crates.
///
/// # Errors
///
/// Names each dependency that no rule allows.
pub(crate) fn check() -> Result<()> {
    let problems = violations(&Graph::new(&workspace::metadata()?)?, RULES, RESERVED);
    workspace::fail_on(&problems, "the rules in xtask/src/layers.rs are broken")
}

/// Checks the modules within each crate of `crates/`.
///
/// # Errors
///
/// Names each cycle, and each use of a layer above in `webhook-dispatch`.
pub(crate) fn check_modules() -> Result<()> {
    let root = workspace::root();
    let metadata = workspace::metadata()?;
    let read = |name: &str| std::fs::read_to_string(root.join(name)).ok();
    let mut problems = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let targets = package.targets.iter();
        for target in targets.filter(|target| target.is_lib() || target.is_bin()) {
            let Ok(file) = target.src_path.strip_prefix(&metadata.workspace_root) else {
                continue;
            };
            if !file.starts_with("crates") {
                continue;
            }
            let modules = Modules::load(file.as_str(), &read)?;
            let cycles = cycles::cycles(&modules);
            problems.extend(cycles.iter().map(|cycle| format!("{name}: {cycle}")));
            if name == "webhook-dispatch" {
                let wrong = order::violations(&modules, order::LAYERS).into_iter();
                problems.extend(wrong.map(|problem| format!("{name}: {problem}")));
            }
        }
    }
    workspace::fail_on(
        &problems,
        "modules use each other in a cycle, or use a layer above their own; move what both sides \
         need into a file below them, or pass it in from above",
    )
}

fn words(names: &str) -> impl Iterator<Item = &str> {
    names.split(' ')
}

fn violations(graph: &Graph, rules: &[Rule], reserved: &[(&str, &str)]) -> Vec<String> {
    let mut problems = Vec::new();
    for member in graph.members() {
        let Some(rule) = rules.iter().find(|rule| rule.name == member) else {
            problems.push(format!("{member} has no rule in RULES"));
            continue;
        };
        for dependency in graph.declared(member) {
            // Tests may use any library, but no crate of a layer that theirs must not know.
            let free = dependency.dev && !graph.is_member(dependency.name);
            if !free && !words(rule.may_use).any(|name| name == dependency.name) {
                problems.push(format!(
                    "{member} must not depend on {}: it may use {}",
                    dependency.name,
                    rule.may_use.replace(' ', ", "),
                ));
            }
            for (name, owners) in reserved {
                if dependency.name == *name && !words(owners).any(|owner| owner == member) {
                    let owners = owners.replace(' ', " and ");
                    problems.push(format!(
                        "{member} must not depend on {name}, not even in tests: only {owners} may"
                    ));
                }
            }
        }
        for banned in rule.must_not_reach.iter().flat_map(|names| words(names)) {
            if let Some(path) = graph.path(member, banned) {
                problems.push(format!(
                    "{member} must not reach {banned}: {}",
                    path.join(" > ")
                ));
            }
        }
    }
    for rule in rules {
        if !graph.members().any(|member| member == rule.name) {
            problems.push(format!(
                "RULES names {}, which is no crate of the workspace",
                rule.name
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use graph::fabricate;

    /// Compares the problems that two rules find in a fabricated workspace.
    fn check(crates: &[(&str, &[&str])], expected: &[&str]) {
        let rules = [
            Rule {
                name: "model",
                may_use: "serde",
                must_not_reach: &[],
            },
            Rule {
                name: "sender",
                may_use: "model ureq",
                must_not_reach: &[ASYNC_RUNTIMES],
            },
        ];
        let graph = Graph::new(&fabricate(crates)).expect("valid metadata");
        assert_eq!(violations(&graph, &rules, &[("ureq", "sender")]), expected);
    }

    #[test]
    fn a_workspace_that_follows_the_rules_has_no_problem() {
        check(
            &[
                ("+model", &["serde", "dev:proptest"]),
                ("+sender", &["model", "ureq"]),
                ("serde", &[]),
                ("ureq", &[]),
                ("proptest", &["dev:tokio", "serde"]),
                ("tokio", &[]),
            ],
            &[],
        );
    }

    #[test]
    fn a_dependency_outside_the_rule_is_a_problem_by_its_real_name_and_for_builds_too() {
        let expected = ["model must not depend on regex: it may use serde"];
        for dependency in ["regex", "build:regex", "serde=regex"] {
            check(
                &[("+model", &[dependency]), ("+sender", &[]), ("regex", &[])],
                &expected,
            );
        }
    }

    #[test]
    fn a_layer_and_its_tests_must_not_know_the_one_below_it() {
        let expected = ["model must not depend on sender: it may use serde"];
        for dependency in ["sender", "dev:sender"] {
            check(&[("+model", &[dependency]), ("+sender", &[])], &expected);
        }
    }

    #[test]
    fn each_crate_has_a_rule_and_each_rule_a_crate() {
        check(
            &[("+model", &[]), ("+new", &[])],
            &[
                "new has no rule in RULES",
                "RULES names sender, which is no crate of the workspace",
            ],
        );
    }

    #[test]
    fn a_banned_crate_is_found_behind_allowed_ones() {
        check(
            &[
                ("+model", &[]),
                ("+sender", &["ureq"]),
                ("ureq", &["rustls"]),
                ("rustls", &["tokio"]),
                ("tokio", &[]),
            ],
            &["sender must not reach tokio: sender > ureq > rustls > tokio"],
        );
    }

    #[test]
    fn a_reserved_crate_is_forbidden_even_to_tests() {
        check(
            &[
                ("+model", &["dev:ureq"]),
                ("+sender", &["ureq"]),
                ("ureq", &[]),
            ],
            &["model must not depend on ureq, not even in tests: only sender may"],
        );
    }

    #[test]
    fn the_model_may_use_serde_and_serde_json_alone() {
        let model = RULES.iter().find(|rule| rule.name == "webhook-model");
        assert_eq!(model.map(|rule| rule.may_use), Some("serde serde_json"));
    }
}
