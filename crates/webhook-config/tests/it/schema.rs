//! Checks the JSON Schema with an independent validator.

use crate::parse;
use serde_json::{Value, json};

fn validator() -> jsonschema::Validator {
    let schema = webhook_config::json_schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    jsonschema::draft202012::new(&schema).expect("the schema is one")
}

#[test]
fn the_schema_is_valid_by_its_own_schema() {
    jsonschema::draft202012::meta::validate(&webhook_config::json_schema()).unwrap();
}

#[test]
fn an_accepted_file_is_valid_under_the_schema() {
    let validator = validator();
    let mut checked = 0;
    let cases = include_str!("../data/config-cases.ndjson")
        .lines()
        .map(|line| {
            let case: Value = serde_json::from_str(line).unwrap();
            case["config"].as_str().unwrap().to_owned()
        });
    let more = [
        include_str!("../data/several.json").to_owned(),
        r#"{"headers":{},"targetURL":"http://x/","timeoutMsec":5,"statuses":[["*"]]}"#.to_owned(),
        r#"{"headers":{"A":1.5},"targetURL":"url:HTTP://x/","timeoutMsec":" 5 ","tls":null,"retry":null,"queue":null,"signing":null,"name":null,"format":null,"jobs":null}"#.to_owned(),
        r#"{"headers":{},"targetURL":"http://x/","timeoutMsec":5,"statuses":["COMPLETED",4],"where":[{"at":"/a~1b","not":{"in":[1]}}],
            "events":{"schema":"slurm","key":["/a",{"at":"/b","default":""},{"at":"/c","prefix":"x"},{"first":["/d",""]}],"each":null,
            "state":{"at":"/e","where":[{"at":"/f","exists":true}],"last":"/g"},"oldState":null,"omit":["/script"],"onlyChanges":true},
            "inputs":{"a":{"id":"/x","unknown":"accept","invalidUtf8":"replace","ignore":[]},"b":{}}}"#.to_owned(),
    ];
    for text in cases.chain(more) {
        // A schema cannot express text after the brace.
        if let (Ok(_), Ok(value)) = (parse(&text), serde_json::from_str::<Value>(&text)) {
            let errors: Vec<_> = validator
                .iter_errors(&value)
                .map(|it| it.to_string())
                .collect();
            assert!(errors.is_empty(), "{text}: {errors:?}");
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn a_shown_configuration_is_valid_under_the_schema() {
    let config = parse(include_str!("../data/several.json")).unwrap().config;
    let shown = serde_json::to_value(config.show()).unwrap();
    let errors: Vec<_> = validator()
        .iter_errors(&shown)
        .map(|it| it.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn simple_mistakes_are_invalid_under_the_schema() {
    let validator = validator();
    let good = json!({ "targetURL": "http://x/", "headers": {}, "timeoutMsec": 5000 });
    assert!(validator.is_valid(&good));
    for (key, value) in [
        ("timeoutMs", json!(5)),
        ("targetURL", json!("ftp://x/")),
        ("targetURL", json!(null)),
        ("headers", json!({ "A B": "x" })),
        ("headers", json!({ "A": { "evn": "X" } })),
        ("timeoutMsec", json!(true)),
        ("statuses", json!(["LOSt"])),
        ("format", json!("xml")),
        ("concurrency", json!(0)),
        ("retry", json!({ "maxAttempt": 1 })),
        ("targets", json!([good])),
        ("events", json!({ "schema": "slrum" })),
        ("events", json!({ "sate": "/a" })),
        ("events", json!({ "key": { "at": "/a", "frist": [] } })),
        ("events", json!({ "omit": ["script"] })),
        ("inputs", json!({ "default": {} })),
        ("inputs", json!(["nomad"])),
        ("where", json!([{ "at": "/a" }])),
        ("where", json!([{ "at": "/a", "equal": 1 }])),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        assert!(!validator.is_valid(&bad), "{bad}");
    }
    assert!(!validator.is_valid(&json!({ "queue": {} })));
}

#[test]
fn the_defaults_of_the_schema_are_those_in_force() {
    let config =
        parse(r#"{"targetURL": "http://x/", "headers": {}, "timeoutMsec": 5000}"#).unwrap();
    let shown = serde_json::to_value(config.config.show()).unwrap();
    let database = r#"{"targetURL": "http://x/", "headers": {}, "timeoutMsec": 5000,
        "queue": {"postgres": {"url": "host=db"}}}"#;
    let shared = serde_json::to_value(parse(database).unwrap().config.show()).unwrap();
    let schema = webhook_config::json_schema();
    let mut compared = 0;
    for (object, shown) in [
        (&schema["$defs"]["Target"], &shown["targets"][0]),
        (&schema["$defs"]["Retry"], &shown["targets"][0]["retry"]),
        (&schema["$defs"]["Breaker"], &shown["targets"][0]["breaker"]),
        (&schema["$defs"]["Queue"], &shown["queue"]),
        (&schema["$defs"]["Postgres"], &shared["queue"]["postgres"]),
    ] {
        for (key, property) in object["properties"].as_object().unwrap() {
            if let Some(default) = property.get("default") {
                assert_eq!(&shown[key], default, "{key}");
                compared += 1;
            }
        }
    }
    assert_eq!(
        shown["maxEventBytes"],
        schema["properties"]["maxEventBytes"]["default"]
    );
    assert!(compared > 15, "{compared}");
}

#[test]
fn every_key_is_read() {
    let schema = webhook_config::json_schema();
    for (object, path) in [
        ("Target", ""),
        ("Retry", "retry"),
        ("Breaker", "breaker"),
        ("Tls", "tls"),
        ("Queue", "queue"),
        ("Postgres", "queue"),
        ("Signing", "signing"),
        ("Input", "events"),
    ] {
        for key in schema["$defs"][object]["properties"]
            .as_object()
            .unwrap()
            .keys()
        {
            // No key but `template` accepts a list of lists, and that one no number.
            let wrong = if key == "template" {
                json!(7)
            } else {
                json!([[]])
            };
            let mut file = json!({ "targetURL": "http://x/", "headers": {}, "timeoutMsec": 5000 });
            match path {
                "" => file[key] = wrong,
                _ if object == "Postgres" => file[path] = json!({ "postgres": { key: wrong } }),
                _ => file[path] = json!({ key: wrong }),
            }
            let codes = crate::problems(&file.to_string());
            let codes: Vec<_> = codes.iter().map(|it| it.code().as_str()).collect();
            let expected = match object {
                "Input" => "invalid-setting",
                _ => "wrong-type",
            };
            assert!(
                codes.contains(&expected) || codes.contains(&"sloppy-type"),
                "{key}: {codes:?}"
            );
        }
    }
}
