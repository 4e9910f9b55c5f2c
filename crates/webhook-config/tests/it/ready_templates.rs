//! The files in `docs/templates`: the bodies that they make of events of several schedulers are
//! valid by the schemas of the services.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use webhook_event::{Attributes, Schema, SecretReference, Template, TemplateFields};

/// The bounds of whole bodies, in bytes, that a JSON Schema cannot express.
const MAX_BYTES: [(&str, usize); 2] = [("teams", 28 << 10), ("pagerduty", 512 << 10)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The name and the content of each file.
fn files() -> Vec<(String, Value)> {
    let folder = std::fs::read_dir(root().join("docs/templates")).unwrap();
    let files = folder.map(|file| {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let content = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        (name, content)
    });
    files.collect()
}

/// The template of a file, with secrets.
fn template(file: &Value) -> Template {
    let mut template = Template::from_json(&file["targets"][0]["template"]).unwrap();
    let secret = |_: &SecretReference| "0123456789abcdef0123456789abcdef".to_owned();
    let secrets: Vec<_> = template.secrets().map(secret).collect();
    template.set_secrets(secrets);
    template
}

/// An event, its key and its other fields.
struct Sample {
    event: Vec<u8>,
    key: String,
    attributes: Attributes,
}

impl Sample {
    fn body(&self, template: &Template) -> Value {
        let fields = TemplateFields {
            key: &self.key,
            id: "evt_1",
            attributes: &self.attributes,
        };
        let body = template.render(&self.event, &fields, 1 << 20).unwrap();
        serde_json::from_slice(&body).unwrap()
    }
}

/// The events of a document, read by a preset.
fn read(preset: &str, document: &[u8]) -> Vec<Sample> {
    let schema = Schema::from_json(&json!({ "schema": preset })).unwrap();
    let mut samples = Vec::new();
    for part in schema.split(document).unwrap() {
        if let Ok(Some(fields)) = schema.read(part.bytes()) {
            samples.push(Sample {
                event: part.bytes().to_vec(),
                key: fields.key.clone().into_owned(),
                attributes: Attributes::of(preset, &fields),
            });
        }
    }
    samples
}

/// The events of a file with one document a line.
fn lines(preset: &str, file: &str) -> Vec<Sample> {
    let text = std::fs::read_to_string(root().join("tests/fixtures").join(file)).unwrap();
    let documents = text.lines().filter(|line| !line.trim().is_empty());
    let samples: Vec<_> = documents
        .flat_map(|line| read(preset, line.as_bytes()))
        .collect();
    assert!(!samples.is_empty(), "{file}");
    samples
}

/// Events whose values are as long, and as short, as they come.
fn extremes() -> Vec<Sample> {
    let long = "<!channel> \u{1f600}&\u{1}\"\\".repeat(20_000);
    let mut attributes = Attributes::default();
    attributes.state = Some(long.clone());
    attributes.old_state = Some(long.clone());
    attributes.job = vec![long.clone(), long.clone()];
    attributes.time = Some(1_796_000_052_007);
    let fullest = Sample {
        event: b"{}".to_vec(),
        key: long,
        attributes,
    };
    let emptiest = Sample {
        event: b"{}".to_vec(),
        key: String::new(),
        attributes: Attributes::default(),
    };
    vec![fullest, emptiest]
}

#[test]
fn bodies_are_valid_by_the_schema_of_their_service() {
    let mut samples = extremes();
    for (preset, file) in [
        ("aurora", "events.ndjson"),
        ("slurm", "schedulers/slurm.ndjson"),
        ("nomad", "schedulers/nomad.ndjson"),
        ("kubernetes", "schedulers/kubernetes.ndjson"),
        ("airflow", "schedulers/airflow.ndjson"),
        ("ray", "schedulers/ray.ndjson"),
    ] {
        samples.extend(lines(preset, file));
    }
    let files = files();
    assert_eq!(files.len(), 6);
    for (name, file) in &files {
        let path = root().join(format!("tests/fixtures/templates/{name}.schema.json"));
        let schema = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let template = template(file);
        let max = MAX_BYTES.iter().find(|(service, _)| service == name);
        for sample in &samples {
            let body = sample.body(&template);
            let errors: Vec<_> = validator
                .iter_errors(&body)
                .map(|it| it.to_string())
                .collect();
            assert!(errors.is_empty(), "{name}: {errors:?} in {body:#}");
            if let Some((_, max)) = max {
                assert!(body.to_string().len() <= *max, "{name}: {body:#}");
            }
        }
    }
}

#[test]
fn ntfys_message_is_no_attachment() {
    let (_, file) = files()
        .into_iter()
        .find(|(name, _)| name == "ntfy")
        .unwrap();
    for sample in extremes() {
        let body = sample.body(&template(&file));
        assert!(body["message"].as_str().unwrap().len() <= 4096);
    }
}

#[test]
fn a_jobs_name_makes_no_mention_in_slack() {
    let (_, file) = files()
        .into_iter()
        .find(|(name, _)| name == "slack")
        .unwrap();
    for sample in extremes() {
        let body = sample.body(&template(&file));
        assert!(!body["text"].as_str().unwrap().contains('<'), "{body:#}");
    }
}

#[test]
fn a_later_success_resolves_the_incident_of_the_same_job() {
    let (_, file) = files()
        .into_iter()
        .find(|(name, _)| name == "pagerduty")
        .unwrap();
    let template = template(&file);
    let body = |state: &str| {
        let event = json!({ "jobid": 17, "state": state, "job_name": "train" }).to_string();
        read("slurm", event.as_bytes()).remove(0).body(&template)
    };
    let (failed, completed) = (body("FAILED"), body("COMPLETED"));
    assert_eq!(failed["event_action"], "trigger");
    assert_eq!(completed["event_action"], "resolve");
    assert_eq!(failed["dedup_key"], "slurm/17");
    assert_eq!(completed["dedup_key"], failed["dedup_key"]);
    assert_ne!(body("TIMEOUT")["payload"]["severity"], "info");
}
