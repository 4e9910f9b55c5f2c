//! Invalid payloads, each wrong in one way.

/// File names and contents. `malformed-` inputs are no JSON in UTF-8; the others are JSON, and
/// contradict Aurora's types or themselves.
pub(super) fn inputs() -> Vec<(String, Vec<u8>)> {
    let sample = br#"{"task":{"cachedHashCode":0,"assignedTask":{"cachedHashCode":0,"taskId":"t"}},"oldState":{}}"#;
    let nested = |open: &str, close: &str| [open.repeat(10_000), close.repeat(10_000)].concat();
    let resource = |resource: &str| {
        format!(r#"{{"task":{{"assignedTask":{{"task":{{"resources":[{resource}]}}}}}}}}"#)
    };
    let config = |member: &str| format!(r#"{{"task":{{"assignedTask":{{"task":{{{member}}}}}}}}}"#);
    let texts: Vec<(&str, String)> = vec![
        ("malformed-empty", String::new()),
        ("malformed-blank", " \t\n".to_owned()),
        ("malformed-garbage", "this is no event".to_owned()),
        (
            "malformed-truncated",
            String::from_utf8_lossy(&sample[..60]).into_owned(),
        ),
        (
            "malformed-truncated-in-escape",
            r#"{"task":{"status":"PEND\u00"#.to_owned(),
        ),
        (
            "malformed-unclosed-string",
            r#"{"task":{"status":"PENDING}}"#.to_owned(),
        ),
        (
            "malformed-two-on-one-line",
            r#"{"oldState":{}}{"oldState":{}}"#.to_owned(),
        ),
        ("malformed-trailing-comma", r#"{"oldState":{},}"#.to_owned()),
        ("malformed-single-quotes", "{'oldState':{}}".to_owned()),
        ("malformed-unquoted-name", "{oldState:{}}".to_owned()),
        (
            "malformed-comment",
            r#"{"oldState":{} /* none */}"#.to_owned(),
        ),
        ("malformed-nan", config(r#""numCpus":NaN"#)),
        (
            "malformed-leading-zero",
            r#"{"task":{"failureCount":01}}"#.to_owned(),
        ),
        (
            "malformed-control-character",
            "{\"task\":{\"ancestorId\":\"a\u{1}b\"}}".to_owned(),
        ),
        (
            "malformed-escape",
            r#"{"task":{"ancestorId":"\x41"}}"#.to_owned(),
        ),
        (
            "malformed-half-surrogate",
            r#"{"task":{"ancestorId":"\ud83d"}}"#.to_owned(),
        ),
        (
            "malformed-byte-order-mark",
            "\u{feff}{\"oldState\":{}}".to_owned(),
        ),
        (
            "malformed-deep-arrays",
            format!(r#"{{"later":{}}}"#, nested("[", "]")),
        ),
        ("malformed-deep-objects", nested(r#"{"a":"#, "}")),
        ("top-level-array", "[]".to_owned()),
        ("top-level-string", r#""PENDING""#.to_owned()),
        ("top-level-null", "null".to_owned()),
        ("task-is-a-string", r#"{"task":"t"}"#.to_owned()),
        (
            "task-id-is-a-number",
            r#"{"task":{"assignedTask":{"taskId":8}}}"#.to_owned(),
        ),
        (
            "status-is-an-object",
            r#"{"task":{"status":{}}}"#.to_owned(),
        ),
        ("old-state-is-a-number", r#"{"oldState":3}"#.to_owned()),
        ("task-twice", r#"{"task":{},"task":{}}"#.to_owned()),
        (
            "instance-id-too-large",
            r#"{"task":{"assignedTask":{"instanceId":2147483648}}}"#.to_owned(),
        ),
        (
            "instance-id-is-a-fraction",
            r#"{"task":{"assignedTask":{"instanceId":1.5}}}"#.to_owned(),
        ),
        (
            "events-are-an-object",
            r#"{"task":{"taskEvents":{}}}"#.to_owned(),
        ),
        ("double-too-large", config(r#""numCpus":1e999"#)),
        ("flag-is-a-string", config(r#""isService":"true""#)),
        (
            "port-twice",
            r#"{"task":{"assignedTask":{"assignedPorts":{"a":1,"a":2}}}}"#.to_owned(),
        ),
        (
            "set-with-equal-elements",
            config(r#""requestedPorts":["http","tcp","http"]"#),
        ),
        (
            "union-without-tag",
            resource(r#"{"cachedHashCode":0,"value":16}"#),
        ),
        (
            "union-without-value",
            resource(r#"{"cachedHashCode":0,"setField":"RAM_MB"}"#),
        ),
        (
            "union-of-another-type",
            resource(r#"{"setField":"RAM_MB","value":"http"}"#),
        ),
        (
            "union-with-two-values",
            resource(r#"{"setField":"RAM_MB","value":1,"value":2}"#),
        ),
        (
            "union-tag-is-a-number",
            resource(r#"{"setField":2,"value":16}"#),
        ),
    ];
    let mut inputs: Vec<(String, Vec<u8>)> = texts
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.into_bytes()))
        .collect();
    let bytes: [(&str, &[u8]); 3] = [
        (
            "malformed-latin-1",
            b"{\"task\":{\"ancestorId\":\"caf\xe9\"}}",
        ),
        ("malformed-utf-16", b"\xff\xfe{\0}\0"),
        ("malformed-nul", b"{\"oldState\":{}}\0"),
    ];
    inputs.extend(bytes.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())));
    inputs
}
