//! The sample's structs with serde's derive and without Aurora's rules, as a baseline for the
//! model.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Change {
    task: Task,
    old_state: OldState,
}

#[derive(Debug, Serialize, Deserialize)]
struct OldState {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    cached_hash_code: i32,
    assigned_task: AssignedTask,
    status: String,
    failure_count: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    times_partitioned: Option<i32>,
    task_events: Vec<Event>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ancestor_id: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssignedTask {
    cached_hash_code: i32,
    task_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    slave_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slave_host: Option<String>,
    task: Config,
    assigned_ports: BTreeMap<String, i32>,
    instance_id: i32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    cached_hash_code: i32,
    job: Job,
    owner: Owner,
    is_service: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_cpus: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ram_mb: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_mb: Option<i64>,
    priority: i32,
    max_task_failures: i32,
    production: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    resources: Vec<Union<Amount>>,
    constraints: Vec<Constraint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_ports: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mesos_fetcher_uris: Option<Vec<String>>,
    task_links: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact_email: Option<String>,
    executor_config: ExecutorConfig,
    metadata: Vec<Metadata>,
    container: Union<Container>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    cached_hash_code: i32,
    role: String,
    environment: String,
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owner {
    cached_hash_code: i32,
    user: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Union<T> {
    cached_hash_code: i32,
    set_field: String,
    value: T,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Amount {
    Whole(i64),
    Double(f64),
    Text(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Constraint {
    cached_hash_code: i32,
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecutorConfig {
    cached_hash_code: i32,
    name: String,
    data: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    cached_hash_code: i32,
    key: String,
    value: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    cached_hash_code: i32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    cached_hash_code: i32,
    timestamp: i64,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduler: Option<String>,
}

type Text<'a> = Option<Cow<'a, str>>;

/// Only the header, borrowed; the rest is skipped.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read, and no more")]
pub(crate) struct Header<'a> {
    #[serde(borrow)]
    task: Option<HeaderTask<'a>>,
    #[serde(borrow)]
    old_state: Option<HeaderOldState<'a>>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "read, and no more")]
struct HeaderOldState<'a> {
    #[serde(borrow)]
    value: Text<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read, and no more")]
struct HeaderTask<'a> {
    #[serde(borrow)]
    assigned_task: Option<HeaderAssigned<'a>>,
    #[serde(borrow)]
    status: Text<'a>,
    task_events: Option<Vec<HeaderEvent>>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "read, and no more")]
struct HeaderEvent {
    timestamp: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read, and no more")]
struct HeaderAssigned<'a> {
    #[serde(borrow)]
    task_id: Text<'a>,
    #[serde(borrow)]
    task: Option<HeaderConfig<'a>>,
    instance_id: Option<i32>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "read, and no more")]
struct HeaderConfig<'a> {
    #[serde(borrow)]
    job: Option<HeaderJob<'a>>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "read, and no more")]
struct HeaderJob<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    environment: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}
