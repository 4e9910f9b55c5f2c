//! The workspace's crates and their dependencies, from `cargo metadata`.

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, PackageId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Crates by name. Two versions of one crate are one node, since rules contain names.
pub(super) struct Graph {
    declared: BTreeMap<String, Vec<(String, bool)>>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

/// A dependency that a manifest names.
pub(super) struct Declared<'a> {
    pub(super) name: &'a str,
    /// Only for tests, benchmarks and examples.
    pub(super) dev: bool,
}

impl Graph {
    pub(super) fn new(metadata: &Metadata) -> Result<Graph> {
        let names: BTreeMap<&PackageId, &str> = metadata
            .packages
            .iter()
            .map(|package| (&package.id, package.name.as_str()))
            .collect();
        let mut declared = BTreeMap::new();
        for package in metadata.workspace_packages() {
            let dependencies = package.dependencies.iter().map(|dependency| {
                (
                    dependency.name.clone(),
                    dependency.kind == DependencyKind::Development,
                )
            });
            declared.insert(package.name.to_string(), dependencies.collect());
        }
        let resolve = metadata
            .resolve
            .as_ref()
            .context("cargo metadata has no `resolve`")?;
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in &resolve.nodes {
            let from = names
                .get(&node.id)
                .context("`resolve` names an unknown package")?;
            let to = edges.entry((*from).to_owned()).or_default();
            for dependency in &node.deps {
                let dev_only = dependency
                    .dep_kinds
                    .iter()
                    .all(|kind| kind.kind == DependencyKind::Development);
                if !dev_only {
                    let name = names
                        .get(&dependency.pkg)
                        .context("`resolve` names an unknown package")?;
                    to.insert((*name).to_owned());
                }
            }
        }
        Ok(Graph { declared, edges })
    }

    /// The crates of the workspace.
    pub(super) fn members(&self) -> impl Iterator<Item = &str> {
        self.declared.keys().map(String::as_str)
    }

    pub(super) fn is_member(&self, name: &str) -> bool {
        self.declared.contains_key(name)
    }

    /// The dependencies in a member's manifest, those of every feature included.
    pub(super) fn declared(&self, member: &str) -> impl Iterator<Item = Declared<'_>> {
        let declared = self.declared.get(member).into_iter().flatten();
        declared.map(|(name, dev)| Declared { name, dev: *dev })
    }

    /// A shortest path from one crate to another by normal and build dependencies.
    pub(super) fn path<'a>(&'a self, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
        let mut found_by: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(name) = queue.pop_front() {
            if name == to {
                let mut path = vec![name];
                while let Some(before) = path.last().and_then(|last| found_by.get(last)) {
                    path.push(before);
                }
                path.reverse();
                return Some(path);
            }
            for next in self.edges.get(name).into_iter().flatten() {
                if next != from && !found_by.contains_key(next.as_str()) {
                    found_by.insert(next, name);
                    queue.push_back(next);
                }
            }
        }
        None
    }
}

/// Metadata as cargo would print it. A crate's name has a `+` before it when it is of the
/// workspace; a dependency may be `dev:name`, `build:name` or `alias=name`.
#[cfg(test)]
pub(super) fn fabricate(crates: &[(&str, &[&str])]) -> Metadata {
    use serde_json::{Value, json};
    let kind_and_name = |text: &str| -> (Value, String) {
        let name = text.rsplit([':', '=']).next().unwrap_or(text).to_owned();
        match text.split_once(':') {
            Some((kind, _)) => (json!(kind), name),
            None => (Value::Null, name),
        }
    };
    let id = |name: &str| format!("path+file:///r/{name}#0.1.0");
    let mut packages = Vec::new();
    let mut nodes = Vec::new();
    let mut members = Vec::new();
    for (name, dependencies) in crates {
        let plain = name.trim_start_matches('+');
        if *name != plain {
            members.push(id(plain));
        }
        let mut declared = Vec::new();
        let mut resolved = Vec::new();
        for text in *dependencies {
            let (kind, name) = kind_and_name(text);
            let rename = text.split_once('=').map(|(alias, _)| alias);
            declared.push(json!({
                "name": name, "req": "*", "kind": kind, "rename": rename, "optional": false,
                "uses_default_features": true, "features": [],
            }));
            resolved.push(json!({
                "name": rename.unwrap_or(&name), "pkg": id(&name),
                "dep_kinds": [{ "kind": kind, "target": null }],
            }));
        }
        packages.push(json!({
            "name": plain, "version": "0.1.0", "id": id(plain), "targets": [], "features": {},
            "dependencies": declared, "manifest_path": format!("/r/{plain}/Cargo.toml"),
        }));
        let id = id(plain);
        nodes.push(json!({ "id": id, "features": [], "deps": resolved, "dependencies": [] }));
    }
    let metadata = json!({
        "packages": packages, "workspace_members": members, "resolve": { "nodes": nodes },
        "target_directory": "/r/target", "version": 1, "workspace_root": "/r",
    });
    // A dependency that is not listed is unknown to `resolve`, as it would be to cargo.
    serde_json::from_value(metadata).expect("it has the shape of cargo's metadata")
}
