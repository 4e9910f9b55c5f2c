//! The preset `kubernetes` on watch frames, objects and lists.

use super::{changes, is_ignored, preset, read, read_one, shown, text};
use serde_json::{Value, json};
use webhook_event::Schema;

#[test]
fn pods_and_jobs_of_kubernetes_change_with_their_phase_and_conditions() {
    let schema = preset("kubernetes");
    let (pod, job) = (
        "6c1f1c52-3f0e-4f6b-9b57-0d8f6a2b1c01",
        "2b0c7c0a-7c3b-4a0e-8c1f-5f6a7b8c9d02",
    );
    for line in sample!("kubernetes.ndjson").lines() {
        let frame: Value = serde_json::from_str(line).unwrap();
        if ["BOOKMARK", "ERROR"].contains(&frame["type"].as_str().unwrap()) {
            assert!(is_ignored(&schema, &frame));
            continue;
        }
        let fields = read_one(&schema, &frame);
        let metadata = &frame["object"]["metadata"];
        assert_eq!(fields.key, text(&metadata["uid"]));
        assert_eq!(fields.job, ["batch", "report"]);
        let id = [
            &metadata["uid"],
            &metadata["resourceVersion"],
            &frame["type"],
        ]
        .map(text);
        assert_eq!(fields.id, Some(id.join("/")));
        // The object alone, without its frame, is the same but for a deletion.
        let alone = read_one(&schema, &frame["object"]);
        assert_eq!((&alone.key, &alone.job), (&fields.key, &fields.job));
        if frame["type"] != "DELETED" {
            assert_eq!(alone.state, fields.state);
        }
        assert_eq!(alone.id, Some(id[..2].join("/")));
    }
    assert_eq!(
        changes(&schema, sample!("kubernetes.ndjson")),
        [
            format!("{job}: no state"),
            format!("{pod}:  > Pending"),
            format!("{job}: no state"),
            format!("{pod}: Pending > Running"),
            format!("{pod}: Running > Failed"),
            format!("{job}:  > Failed"),
            format!("{pod}: Failed > DELETED"),
        ]
    );
}

#[test]
fn events_of_kubernetes_are_ordered_with_their_pod_and_have_no_state() {
    let schema = preset("kubernetes");
    for line in sample!("kubernetes-events.ndjson").lines() {
        let mut frame: Value = serde_json::from_str(line).unwrap();
        for kind in ["ADDED", "DELETED"] {
            frame["type"] = json!(kind);
            let of_frame = read_one(&schema, &frame);
            assert_eq!(
                shown(&of_frame),
                format!(
                    "6c1f1c52-3f0e-4f6b-9b57-0d8f6a2b1c01 none after none of batch report-x7k2p \
                    by 9d3e0000-0000-4000-8000-000000000003/1006/{kind}"
                )
            );
        }
        let alone = read_one(&schema, &frame["object"]);
        assert_eq!(alone.key, "6c1f1c52-3f0e-4f6b-9b57-0d8f6a2b1c01");
        assert_eq!(alone.state, None);
    }
}

#[test]
fn the_condition_that_ends_a_job_of_kubernetes_is_its_state() {
    let schema = preset("kubernetes");
    let state = |conditions: Value| {
        let object = json!({"kind": "Job", "metadata": {"uid": "u", "namespace": "n", "name": "j"},
            "status": {"conditions": conditions}});
        let fields = read_one(&schema, &json!({"type": "MODIFIED", "object": object}));
        assert_eq!(read_one(&schema, &object).state, fields.state);
        fields.state.map(|state| state.to_string())
    };
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
    for (conditions, expected) in [
        (json!([]), None),
        (json!(null), None),
        (json!([condition("Suspended", "True")]), Some("Suspended")),
        (json!([condition("Suspended", "False")]), None),
        (
            json!([
                condition("Suspended", "False"),
                condition("Complete", "True")
            ]),
            Some("Complete"),
        ),
        (
            json!([
                condition("Complete", "True"),
                condition("Suspended", "False")
            ]),
            Some("Complete"),
        ),
        (
            json!([condition("FailureTarget", "True")]),
            Some("FailureTarget"),
        ),
        (
            json!([
                condition("Failed", "True"),
                condition("FailureTarget", "True")
            ]),
            Some("Failed"),
        ),
        (
            json!([
                condition("SuccessCriteriaMet", "True"),
                condition("Complete", "True")
            ]),
            Some("Complete"),
        ),
        (json!([condition("Failed", "Unknown")]), None),
    ] {
        let told = conditions.to_string();
        assert_eq!(state(conditions).as_deref(), expected, "{told}");
    }
}

#[test]
fn lists_and_wrapped_frames_of_kubernetes_need_one_setting() {
    let pod = json!({"metadata": {"uid": "u", "namespace": "n", "name": "p"},
        "status": {"phase": "Running"}});
    let lists = Schema::from_json(&json!({"schema": "kubernetes", "each": "/items"})).unwrap();
    let list =
        json!({"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": [pod, pod]});
    let fields = read(&lists, &list.to_string());
    assert_eq!(fields.len(), 2);
    assert_eq!(shown(&fields[0]), "u Running after none of n p by none");
    let argo = Schema::from_json(&json!({"schema": "kubernetes", "each": "/result"})).unwrap();
    let frame = json!({"result": {"type": "ADDED", "object": pod}});
    assert_eq!(read_one(&argo, &frame).state.as_deref(), Some("Running"));
}
