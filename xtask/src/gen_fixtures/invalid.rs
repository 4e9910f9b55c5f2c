//! Invalid payloads, each wrong in one way.

/// File names and contents. `malformed-` inputs are no JSON in UTF-8; the others are JSON, and
/// contradict Aurora's types or themselves.
const TEXTS: &str = r#"
malformed-garbage               this is no event
malformed-truncated             {"task":{"cachedHashCode":0,"assignedTask":{"cachedHashCode"
malformed-truncated-in-escape   {"task":{"status":"PEND\u00
malformed-unclosed-string       {"task":{"status":"PENDING}}
malformed-two-on-one-line       {"oldState":{}}{"oldState":{}}
malformed-trailing-comma        {"oldState":{},}
malformed-single-quotes         {'oldState':{}}
malformed-unquoted-name         {oldState:{}}
malformed-comment               {"oldState":{} /* none */}
malformed-nan                   {"task":{"assignedTask":{"task":{"numCpus":NaN}}}}
malformed-leading-zero          {"task":{"failureCount":01}}
malformed-escape                {"task":{"ancestorId":"\x41"}}
malformed-half-surrogate        {"task":{"ancestorId":"\ud83d"}}
top-level-array                 []
top-level-string                "PENDING"
top-level-null                  null
task-is-a-string                {"task":"t"}
task-id-is-a-number             {"task":{"assignedTask":{"taskId":8}}}
status-is-an-object             {"task":{"status":{}}}
old-state-is-a-number           {"oldState":3}
task-twice                      {"task":{},"task":{}}
instance-id-too-large           {"task":{"assignedTask":{"instanceId":2147483648}}}
instance-id-is-a-fraction       {"task":{"assignedTask":{"instanceId":1.5}}}
events-are-an-object            {"task":{"taskEvents":{}}}
double-too-large                {"task":{"assignedTask":{"task":{"numCpus":1e999}}}}
flag-is-a-string                {"task":{"assignedTask":{"task":{"isService":"true"}}}}
port-twice                      {"task":{"assignedTask":{"assignedPorts":{"a":1,"a":2}}}}
set-with-equal-elements         {"task":{"assignedTask":{"task":{"requestedPorts":["http","tcp","http"]}}}}
union-without-tag               {"task":{"assignedTask":{"task":{"resources":[{"cachedHashCode":0,"value":16}]}}}}
union-without-value             {"task":{"assignedTask":{"task":{"resources":[{"cachedHashCode":0,"setField":"RAM_MB"}]}}}}
union-of-another-type           {"task":{"assignedTask":{"task":{"resources":[{"setField":"RAM_MB","value":"http"}]}}}}
union-with-two-values           {"task":{"assignedTask":{"task":{"resources":[{"setField":"RAM_MB","value":1,"value":2}]}}}}
union-tag-is-a-number           {"task":{"assignedTask":{"task":{"resources":[{"setField":2,"value":16}]}}}}
"#;

/// Contents that are no line of visible characters.
const BYTES: &[(&str, &[u8])] = &[
    ("malformed-empty", b""),
    ("malformed-blank", b" \t\n"),
    (
        "malformed-control-character",
        b"{\"task\":{\"ancestorId\":\"a\x01b\"}}",
    ),
    (
        "malformed-byte-order-mark",
        b"\xef\xbb\xbf{\"oldState\":{}}",
    ),
    (
        "malformed-latin-1",
        b"{\"task\":{\"ancestorId\":\"caf\xe9\"}}",
    ),
    ("malformed-utf-16", b"\xff\xfe{\0}\0"),
    ("malformed-nul", b"{\"oldState\":{}}\0"),
];

/// The name of each input, and its bytes.
pub(super) fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |open: &str, close: &str| open.repeat(10_000) + &close.repeat(10_000);
    let arrays = format!(r#"{{"later":{}}}"#, nested("[", "]"));
    let lines = TEXTS.lines().filter_map(|line| line.split_once(' '));
    let texts = lines.map(|(name, text)| (name, text.trim_start().into()));
    let bytes = BYTES.iter().map(|(name, bytes)| (*name, bytes.to_vec()));
    let deep = [
        ("malformed-deep-arrays", arrays.into()),
        ("malformed-deep-objects", nested(r#"{"a":"#, "}").into()),
    ];
    texts.chain(bytes).chain(deep).collect()
}
