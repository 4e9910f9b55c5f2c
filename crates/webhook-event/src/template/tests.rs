use super::*;
use crate::attributes::Attributes;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::json;

const EVENT: &str = r#"{"name":"a \"b\" \u00fc{}","n":1.50e+3,"list":[1, 2],"nothing":null,"yes":true,"empty":"","html":"<!channel> & you"}"#;

fn attributes() -> Attributes {
    Attributes {
        trace: None,
        input: "slurm".to_owned(),
        state: Some("FAILED".to_owned()),
        old_state: None,
        job: vec!["debug".to_owned(), "my/job".to_owned()],
        time: Some(1_796_000_052_007),
    }
}

fn render(template: &Value, event: &str, max: usize) -> Result<String, RenderError> {
    let attributes = attributes();
    let fields = TemplateFields {
        key: "17",
        id: "evt_1",
        attributes: &attributes,
    };
    let template = Template::from_json(template).unwrap();
    let body = template.render(event.as_bytes(), &fields, max)?;
    Ok(String::from_utf8(body).unwrap())
}

fn check(template: Value, expected: Expect) {
    expected.assert_eq(&render(&template, EVENT, 10_000).unwrap());
}

fn wrong(template: Value) -> String {
    let error = Template::from_json(&template).unwrap_err();
    let place: Vec<&str> = error.place().collect();
    format!(
        "/{}: {error}; {}",
        place.join("/"),
        error.how_to_mend().unwrap_or_default()
    )
}

#[test]
fn a_skeleton_without_values_is_sent_as_written() {
    check(
        json!({"b": [1, -2.5, true, null, {}], "a": "é\n\"", "$$schema": "x", "$$$": 1}),
        expect![[r#"{"$$":1,"$schema":"x","a":"é\n\"","b":[1,-2.5,true,null,{}]}"#]],
    );
    check(json!("text"), expect![[r#""text""#]]);
}

#[test]
fn text_holds_values_in_braces() {
    check(
        json!([
            "{/name} is {/n}, {/yes}, {/list}",
            "{/nothing}{/absent}{/list/7}{/empty}",
            "{{/name}} }}{{ {{{/n}}}",
            "{key} {state} {oldState} {job} {id} {time} {input}",
        ]),
        expect![[
            r#"["a \"b\" ü{} is 1.50e+3, true, [1, 2]","","{/name} }{ {1.50e+3}","17 FAILED  debug/my/job evt_1 2026-11-30T00:54:12.007Z slurm"]"#
        ]],
    );
}

#[test]
fn a_value_is_copied_as_it_stands() {
    check(
        json!({
            "a": {"$at": "/list"}, "b": {"$at": "/n"}, "c": {"$at": "/name"}, "d": {"$at": "state"},
            "e": {"$at": "/absent"}, "f": {"$at": "/nothing"}, "g": {"$at": "oldState"},
        }),
        expect![[
            r#"{"a":[1, 2],"b":1.50e+3,"c":"a \"b\" \u00fc{}","d":"FAILED","e":null,"f":null,"g":null}"#
        ]],
    );
    let whole = render(&json!({"all": {"$at": ""}}), EVENT, 10_000).unwrap();
    assert_eq!(whole, format!(r#"{{"all":{EVENT}}}"#));
}

#[test]
fn what_is_absent_or_null_has_a_default() {
    check(
        json!([
            {"$at": "/absent", "$default": {"is": "{/n}"}},
            {"$at": "/nothing", "$default": 0},
            {"$at": "/empty", "$default": 0},
            {"$text": "{/empty}", "$default": "none"},
            {"$text": "{/absent}", "$default": null},
            {"$text": "{/n}", "$default": "none"},
        ]),
        expect![[r#"[{"is":"1.50e+3"},0,"","none",null,"1.50e+3"]"#]],
    );
}

#[test]
fn a_map_replaces_a_value() {
    let map = json!({"FAILED": "#d00", "1.50e+3": 7, "true": [true], "": "blank"});
    check(
        json!([
            {"$at": "state", "$map": map}, {"$at": "/n", "$map": map}, {"$at": "/yes", "$map": map},
            {"$at": "/name", "$map": map}, {"$at": "/name", "$map": map, "$default": "{key}"},
            {"$at": "/absent", "$map": map}, {"$text": "{/empty}", "$map": map},
            {"$text": "{state}", "$map": map}, {"$text": "no", "$map": map},
            {"$text": [{"$at": "state", "$map": map}, " {job}", {"$at": "/yes", "$map": map}]},
        ]),
        expect![[
            r##"["#d00",7,[true],null,"17",null,"blank","#d00","","#d00 debug/my/job[true]"]"##
        ]],
    );
}

#[test]
fn text_is_cut_to_a_number_of_characters() {
    check(
        json!([
            {"$text": "{/name}", "$truncate": 8}, {"$text": "{/name}", "$truncate": 9},
            {"$text": "{/name}", "$truncate": 7}, {"$text": "{/name}", "$truncate": 1},
        ]),
        expect![[r#"["a \"b\" ü…","a \"b\" ü{}","a \"b\" …","…"]"#]],
    );
}

#[test]
fn text_that_is_cut_may_have_been_longer_than_the_bound() {
    let event = json!({ "a": "é".repeat(1_000) }).to_string();
    let template = json!({ "$text": ["{/a}", {"$at": "/a"}, "x"], "$truncate": 4 });
    assert_eq!(render(&template, &event, 100).unwrap(), "\"ééé…\"");
    for (character, most) in [("x", 96), ("é", 48), ("€", 32), ("😀", 24)] {
        let event = json!({ "a": character.repeat(1_000) }).to_string();
        let template = |most: usize| json!({ "$text": ["{/a}", {"$at": "/a"}], "$truncate": most });
        let text = character.repeat(most - 1);
        let body = render(&template(most), &event, 100);
        assert_eq!(body.unwrap(), format!("\"{text}…\""));
        for most in [most + 1, 900, usize::MAX] {
            assert_eq!(
                render(&template(most), &event, 100),
                Err(RenderError::TooLong { max: 100 })
            );
        }
    }
}

#[test]
fn entities_are_written_for_values_and_never_cut() {
    check(
        json!([
            {"$text": "<b>{/html}", "$escape": "html"},
            {"$text": ["<", {"$at": "/html"}, {"$text": "{/html}"}], "$escape": "html"},
            {"$text": "{/html}", "$escape": "html", "$truncate": 3},
            {"$text": "{/html}", "$escape": "html", "$truncate": 6},
            {"$text": "R&D: {/html}", "$escape": "html", "$truncate": 6},
        ]),
        expect![[
            r#"["<b>&lt;!channel&gt; &amp; you","<&lt;!channel&gt; &amp; you&lt;!channel&gt; &amp; you","…","&lt;!…","R&D: …"]"#
        ]],
    );
}

#[test]
fn secrets_are_sent_and_masked() {
    let mut template = Template::from_json(&json!({
        "key": {"$env": "ROUTING"}, "in": [{"$text": ["Bearer ", {"$file": "token"}]}],
    }))
    .unwrap();
    let secrets: Vec<_> = template
        .secrets()
        .map(|it| (it.origin.clone(), it.place.join("/")))
        .collect();
    let file = SecretOrigin::File("token".to_owned());
    let env = SecretOrigin::Env("ROUTING".to_owned());
    assert_eq!(
        secrets,
        [(file, "in/0/$text/1".to_owned()), (env, "key".to_owned())]
    );
    let attributes = attributes();
    let fields = TemplateFields {
        key: "",
        id: "",
        attributes: &attributes,
    };
    assert_eq!(
        template.render(b"{}", &fields, 100),
        Err(RenderError::NoSecret)
    );
    template.set_secrets(["s3\"cret".to_owned(), "k3y".to_owned()]);
    let sent = template.render(b"{}", &fields, 100).unwrap();
    assert_eq!(sent, br#"{"in":["Bearer s3\"cret"],"key":"k3y"}"#);
    let masked = template.render_masked(b"{}", &fields, 100).unwrap();
    assert_eq!(masked, br#"{"in":["Bearer ***"],"key":"***"}"#);
    assert_eq!(format!("{template:?}"), "Template { .. }");
    let written =
        json!({"key": {"$env": "ROUTING"}, "in": [{"$text": ["Bearer ", {"$file": "token"}]}]});
    assert_eq!(template.source(), &written);
    let texts: Vec<_> = template.secret_texts().collect();
    assert_eq!(texts, ["s3\"cret", "k3y"]);
}

#[test]
fn a_body_over_the_bound_is_an_error() {
    let template = json!(["{/a}", {"$at": "/a"}]);
    let event = r#"{"a":"12345"}"#;
    let whole = render(&template, event, 100).unwrap();
    assert_eq!(render(&template, event, whole.len()), Ok(whole.clone()));
    for max in 0..whole.len() {
        assert_eq!(
            render(&template, event, max),
            Err(RenderError::TooLong { max })
        );
    }
}

#[test]
fn an_event_that_is_not_json_is_an_error() {
    for event in ["", "{", "nonsense", "{} {}", r#"{"half": "\ud800"}"#] {
        let error = render(&json!("{key}"), event, 100).unwrap_err();
        assert!(matches!(error, RenderError::Malformed(_)), "{error}");
    }
}

#[test]
fn what_is_wrong_in_a_template_is_told_with_its_place() {
    for (template, expected) in [
        (
            json!({"a": ["{/x"]}),
            expect![[r"/a/0: a `{` without its counterpart; write `{{` for the character itself"]],
        ),
        (
            json!("x}"),
            expect![[r"/: a `}` without its counterpart; write `}}` for the character itself"]],
        ),
        (
            json!("{}"),
            expect![[
                r"/: empty braces; such as `{/task/status}` or `{state}`; `{{}}` for the characters"
            ]],
        ),
        (
            json!("{/a~2}"),
            expect![[
                r"/: `/a~2` is not a JSON Pointer: in a JSON Pointer, `~` is written `~0` and `/` within a name `~1`; "
            ]],
        ),
        (
            json!("{status}"),
            expect![[
                r"/: there is no field `status`; a JSON Pointer such as `/status`, or one of key, state, oldState, job, id, time, input"
            ]],
        ),
        (
            json!({"a": {"$at": 7}}),
            expect![[r"/a/$at: expected a string, found a number; "]],
        ),
        (
            json!({"a": {"$at": "status"}}),
            expect![[
                r"/a/$at: there is no field `status`; a JSON Pointer such as `/status`, or one of key, state, oldState, job, id, time, input"
            ]],
        ),
        (
            json!({"a": {"$value": "/x"}}),
            expect![[
                r"/a/$value: unknown member `$value`; a value is `$at`, `$text`, `$env` or `$file`; write `$$value` for a member of this name"
            ]],
        ),
        (
            json!({"$at": "/x", "$fallback": 1}),
            expect![[r"/$fallback: unknown key `$fallback`; one of $at, $map, $default"]],
        ),
        (
            json!({"$at": "/x", "default": 1}),
            expect![[
                r"/default: `default` beside `$at`; an object with `$at` stands for one value; write `$$at` for a member of this name"
            ]],
        ),
        (
            json!({"$at": "/x", "$map": []}),
            expect![[r"/$map: expected an object from texts to values, found an array; "]],
        ),
        (
            json!({"$at": "/x", "$map": {"y": "{"}}),
            expect![[
                r"/$map/y: a `{` without its counterpart; write `{{` for the character itself"
            ]],
        ),
        (
            json!({"$text": ["a", 1]}),
            expect![[
                r"/$text/1: expected text, or an object with `$at` or `$text`, found a number; "
            ]],
        ),
        (
            json!({"$text": "a", "$truncate": 0}),
            expect![[r"/$truncate: not a number of characters; a whole number from 1"]],
        ),
        (
            json!({"$text": "a", "$escape": "xml"}),
            expect![[
                r"/$escape: there is no escape `xml`; `html`: `&`, `<` and `>` of values become entities"
            ]],
        ),
        (
            json!({"$env": "A", "$default": ""}),
            expect![[r"/$default: unknown key `$default`; one of $env"]],
        ),
    ] {
        expected.assert_eq(&wrong(template));
    }
}

#[test]
fn a_template_is_bounded() {
    let mut deep = json!("x");
    for _ in 0..Template::MAX_DEPTH {
        deep = json!([deep]);
    }
    assert!(Template::from_json(&deep).is_ok());
    assert!(wrong(json!({ "a": deep })).contains("nested more than 32 deep"));
    // The array is one of the values.
    let wide = |items: usize| json!(vec![0; items]);
    assert!(Template::from_json(&wide(Template::MAX_NODES - 1)).is_ok());
    assert!(wrong(wide(Template::MAX_NODES)).contains("more than 4096 values"));
    let pointers =
        |count: usize| json!((0..count).map(|n| format!("{{/{n}}}")).collect::<Vec<_>>());
    assert!(Template::from_json(&pointers(Template::MAX_POINTERS)).is_ok());
    assert!(wrong(pointers(Template::MAX_POINTERS + 1)).contains("more than 256 pointers"));
}

#[test]
fn the_templates_of_a_cloud_event_are_told_as_they_were_written() {
    for (written, is_empty) in [
        (json!({}), true),
        (json!({"source": "/{key}"}), false),
        (json!({"type": "a.{state}"}), false),
        (json!({"source": "/", "type": "a"}), false),
    ] {
        let template = CloudEventTemplate::from_json(&written).unwrap();
        assert_eq!(template.written(), &written);
        assert_eq!(template.is_empty(), is_empty, "{written}");
    }
}

#[test]
fn a_cloud_events_source_is_a_uri_reference_whatever_the_values_are() {
    let attributes = attributes();
    let fields = TemplateFields {
        key: "17",
        id: "evt_1",
        attributes: &attributes,
    };
    let rendered = |template: Value, event: &str| {
        let template = CloudEventTemplate::from_json(&template).unwrap();
        template.render(event.as_bytes(), &fields).unwrap()
    };
    let (source, kind) = rendered(
        json!({"source": "/{input}/{/p}/{job}", "type": "com.example.{state}{/p}"}),
        r#"{"p":"a/b c:é%\n"}"#,
    );
    assert_eq!(
        source.as_deref(),
        Some("/slurm/a%2Fb%20c%3A%C3%A9%25%0A/debug/my%2Fjob")
    );
    assert_eq!(kind.as_deref(), Some("com.example.FAILEDa/b c:é%\u{fffd}"));
    assert_eq!(rendered(json!({}), "{}"), (None, None));
    assert_eq!(
        rendered(json!({"source": "{/p}", "type": "{/p}"}), "{}"),
        (None, None)
    );
    for source in [
        "https://[::1]/{/p}?a=b#c",
        "urn:x:{/p}",
        "a/b:c",
        "{/p}/b:c",
        "%20",
        "#",
    ] {
        let template = CloudEventTemplate::from_json(&json!({ "source": source }));
        assert!(template.is_ok(), "{source}");
    }
    for source in [
        "", "a b", "é", "%2", "%zz", "{/p}:x", "1a:x", "a{/p}:x", "/[", "#a#b", "?[", "<",
    ] {
        let template = CloudEventTemplate::from_json(&json!({ "source": source }));
        assert!(template.is_err(), "{source}");
    }
    assert!(CloudEventTemplate::from_json(&json!({"type": ""})).is_err());
    assert!(CloudEventTemplate::from_json(&json!({"type": "a\u{7f}"})).is_err());
    assert!(CloudEventTemplate::from_json(&json!({"typ": "a"})).is_err());
}

/// Any JSON, with names and texts that mean something in a template more often than not.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("$at"),
        Just("$text"),
        Just("$map"),
        Just("$default"),
        Just("$truncate"),
        Just("$escape"),
        Just("$$at"),
        Just("a"),
        Just("b"),
        Just("FAILED"),
    ];
    let text = prop_oneof![
        "[{}/ab~01 \"\\\\\u{1f600}\u{1}<&>]{0,8}",
        "(\\{/[ab01]{0,2}(/[ab01])?\\}|\\{state\\}|\\{\\{|[a-z\"é]){0,6}",
        "/[ab]",
        Just("state".to_owned()),
        Just("html".to_owned()),
        Just(String::new()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (1..5_u64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Text with values in braces.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{/a}"),
        Just("{/b/0}"),
        Just("{/a/b}"),
        Just("{state}"),
        Just("{oldState}"),
        Just("{key}"),
        Just("{{"),
        Just("}}"),
        Just("\"\\\u{1}"),
        Just("<&é\u{1f600}"),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

/// A valid template.
fn any_template() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any_text().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let map = prop::collection::btree_map("|FAILED|true|7", inner.clone(), 0..3);
        let choice = (prop::option::of(map), prop::option::of(inner.clone()));
        let choice = choice.prop_map(|(map, default)| {
            let mut members = serde_json::Map::new();
            members.extend(map.map(|map| ("$map".to_owned(), json!(map))));
            members.extend(default.map(|default| ("$default".to_owned(), default)));
            members
        });
        let source = prop::sample::select(vec!["", "/a", "/b/0", "/a/b", "state", "time"]);
        let at = (source, choice.clone()).prop_map(|(source, mut members)| {
            members.insert("$at".to_owned(), source.into());
            Value::Object(members)
        });
        let part = prop_oneof![any_text().prop_map(Value::from), at.clone()];
        let parts = prop::collection::vec(part, 0..4);
        let joined = (parts, choice, prop::option::of(1_u8..9), any::<bool>());
        let joined = joined.prop_map(|(parts, mut members, truncate, escape)| {
            members.insert("$text".to_owned(), parts.into());
            members.extend(truncate.map(|most| ("$truncate".to_owned(), most.into())));
            members.extend(escape.then(|| ("$escape".to_owned(), "html".into())));
            Value::Object(members)
        });
        let object = prop::collection::btree_map("a|\\$\\$at|é\"", inner.clone(), 0..4);
        prop_oneof![
            at,
            joined,
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|members| json!(members)),
        ]
    })
}

/// Renders a template for an event, and checks that the body is JSON.
fn is_json(template: &Template, event: &Value, pretty: bool) -> Result<(), TestCaseError> {
    let event = if pretty {
        serde_json::to_vec_pretty(event)
    } else {
        serde_json::to_vec(event)
    };
    let attributes = attributes();
    let fields = TemplateFields {
        key: "\u{1}",
        id: "",
        attributes: &attributes,
    };
    let body = template
        .render(&event.unwrap(), &fields, 1_000_000)
        .unwrap();
    let parsed = serde_json::from_slice::<Value>(&body);
    prop_assert!(parsed.is_ok(), "{:?}", String::from_utf8(body));
    Ok(())
}

proptest! {
    #[test]
    fn whatever_template_is_read_makes_json_of_any_event(
        template in any_template(),
        other in any_json(),
        event in any_json(),
        pretty in any::<bool>(),
    ) {
        is_json(&Template::from_json(&template).unwrap(), &event, pretty)?;
        if let Ok(template) = Template::from_json(&other) {
            is_json(&template, &event, pretty)?;
        }
    }
}
