//! A configuration that is shown and read back is the same.

use crate::parse;
use proptest::prelude::*;
use serde_json::json;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;
use webhook_config::{
    BatchPolicy, BreakerPolicy, Config, DeadLetterSettings, Delivery, Format, InputFilter,
    InputName, JobFilter, Method, PostgresSettings, PostgresUrl, QueueSettings, RetryPolicy,
    SchemaName, SslMode, StatusFilter, Target, TargetName, TargetUrl, WhenFull,
};
use webhook_event::{Condition, Schema, Template};
use webhook_model::ScheduleStatus;

/// The inputs of all configurations here, besides Aurora's default one.
const NAMED: [(&str, &str); 2] = [("s-1", "slurm"), ("nomad", "nomad")];

fn condition() -> impl Strategy<Value = Condition> {
    prop::sample::select(vec![
        json!({"at": "/Type", "in": ["A", 1, null, {"b": []}]}),
        json!({"at": "", "exists": false}),
        json!({"at": "/a~1b/0", "atLeast": -1.5, "atMost": 7, "not": {"equals": 2.50, "prefix": ""}}),
    ])
    .prop_map(|it| Condition::from_json(&it).unwrap())
}

fn retry() -> impl Strategy<Value = RetryPolicy> {
    (
        1u64..1_000_000,
        0u64..1_000_000,
        1.0f64..1000.0,
        1u64..1_000_000_000,
        any::<u32>(),
    )
        .prop_map(|(initial, more, multiplier, age, attempts)| {
            let msec = Duration::from_millis;
            let attempts = NonZeroU32::new(attempts);
            RetryPolicy::new(
                msec(initial),
                msec(initial + more),
                multiplier,
                msec(age),
                attempts,
            )
            .unwrap()
        })
}

prop_compose! {
    fn database()(
        user in prop::option::of("[a-z%/ ]{1,9}"),
        hosts in prop::collection::vec("[a-z.:]{1,9}|/[a-z /]{1,9}", 1..3),
        port in prop::option::of(1u16..),
        name in prop::option::of("[a-z?#@'\\\\]{1,9}"),
        mode in prop::option::of(prop::sample::select(SslMode::ALL)),
        // Names that begin with `pg_` are PostgreSQL's own.
        schema in "[a-z_][a-z0-9_]{0,62}".prop_filter("reserved", |it| !it.starts_with("pg_")),
        slots in 1u16..=1024,
        times in (1000u64..=600_000, 1u64..=1000),
    ) -> PostgresSettings {
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        let mut url = format!("host={}", quoted(&hosts.join(",")));
        for (keyword, value) in [
            ("user", user),
            ("port", port.map(|port| port.to_string())),
            ("dbname", name),
            ("sslmode", mode.map(|mode| mode.name().to_owned())),
        ] {
            if let Some(value) = value {
                url += &format!(" {keyword}={}", quoted(&value));
            }
        }
        PostgresSettings::new(PostgresUrl::parse(&url).unwrap())
            .with_schema(SchemaName::new(schema).unwrap())
            .with_slots(slots)
            .with_lease(Duration::from_millis(times.0))
            .with_poll(Duration::from_millis(times.1))
    }
}

prop_compose! {
    fn target()(
        name in "[a-zA-Z0-9_-]{1,64}",
        method in prop::sample::select(Method::ALL),
        // The letters of queries and headers form no word for which `show` masks a value.
        url in "https?://[a-z]{1,8}(:[1-9][0-9]{0,3})?(/[a-z0-9]{0,5}){0,3}(\\?[bdfgl=&]{1,9})?",
        headers in prop::collection::btree_map("X-[A-E]{1,3}", "[bdfgl\u{e9} ]{0,8}", 0..4),
        timeouts in (1u64..=2_147_483_647, 1u64..=2_147_483_647, 1u64..=2_147_483_647),
        statuses in prop::option::of(prop::collection::vec(prop::sample::select(ScheduleStatus::ALL), 0..5)),
        jobs in prop::option::of(prop::collection::vec("[a-z*]{1,4}/[a-z]{1,4}/[a-z]{1,3}\\*{0,2}", 0..3)),
        inputs in prop::option::of(prop::sample::subsequence(vec!["default", "s-1", "nomad"], 0..3)),
        conditions in prop::collection::vec(condition(), 0..3),
        initial_events in any::<bool>(),
        format in prop::sample::select(Format::ALL),
        body_bytes in 1usize << 10..=64 << 20,
        delivery in prop::sample::select(Delivery::ALL),
        retry in retry(),
        sizes in (1usize..=4096, 1usize..=1 << 20, 1u64..=64 << 20),
        breaker in (1u64..1_000_000, 1u32..=1000),
        max_owed_bytes in prop::option::of(1u64..=16 << 40),
        rate in prop::option::of(1u32..=1_000_000),
        batch in prop::option::of((1usize..=1000, 1usize << 10..=4 << 20, 0u64..=60_000)),
    ) -> Target {
        let jobs = jobs.map(|patterns| patterns.iter().map(|it| it.parse().unwrap()).collect());
        let mut builder = Target::builder(TargetUrl::parse(&url).unwrap())
            .name(TargetName::new(name).unwrap())
            .method(method)
            .connect_timeout(Duration::from_millis(timeouts.0))
            .response_timeout(Duration::from_millis(timeouts.1))
            .statuses(statuses.map_or(StatusFilter::All, StatusFilter::only))
            .jobs(jobs.map_or(JobFilter::All, JobFilter::Matching))
            .inputs(inputs.map_or(InputFilter::All, InputFilter::only))
            .conditions(conditions)
            .initial_events(initial_events)
            .format(format)
            .max_body_bytes(body_bytes)
            .delivery(delivery)
            .retry(retry)
            .breaker(BreakerPolicy::new(
                Duration::from_millis(breaker.0),
                NonZeroU32::new(breaker.1).unwrap(),
            ))
            .concurrency(NonZeroUsize::new(sizes.0).unwrap())
            .window(NonZeroUsize::new(sizes.1).unwrap())
            .max_response_bytes(sizes.2)
            .max_connection_age(Duration::from_millis(timeouts.2))
            .max_owed_bytes(max_owed_bytes)
            .max_per_second(rate.and_then(NonZeroU32::new));
        if let Some((events, bytes, wait)) = batch.filter(|_| format.can_batch() && sizes.1 >= 4) {
            let size = |number| NonZeroUsize::new(number).unwrap();
            let (events, wait) = (events.min(sizes.1 / 4), Duration::from_millis(wait));
            builder = builder.batch(Some(BatchPolicy::new(size(events), size(bytes), wait)));
        }
        for (name, value) in headers {
            builder = builder.header(&name, value.trim());
        }
        if format == Format::Template {
            let template = serde_json::json!({ "text": "{/a} {state}", "of": [{ "$at": "/b" }] });
            builder = builder.template(Template::from_json(&template).unwrap());
        }
        builder.build().unwrap()
    }
}

proptest! {
    #[test]
    fn a_shown_configuration_reads_back_the_same(
        targets in prop::collection::vec(target(), 1..4),
        dir in "[a-z/]{1,9}", bytes in 1u64 << 20..=16 << 40, is_rejecting in any::<bool>(),
        max_event_bytes in 1024usize..=64 << 20,
        dead in (prop::option::of(0u64..=16 << 40), 0u64..=1_000_000_000, 1u64..1 << 35),
        states in 0u64..=100_000_000,
        database in prop::option::of(database()),
    ) {
        let when_full = if is_rejecting { WhenFull::Reject } else { WhenFull::Block };
        let mut letters = DeadLetterSettings::default()
            .with_max_count(dead.1)
            .with_max_age(Duration::from_millis(dead.2));
        if let Some(bytes) = dead.0 {
            letters = letters.with_max_bytes(bytes);
        }
        let queue = QueueSettings::new(dir)
            .with_max_bytes(bytes)
            .with_when_full(when_full)
            .with_dead_letters(letters)
            .with_max_last_states(states);
        let queue = match database {
            Some(database) => queue.with_postgres(database),
            None => queue,
        };
        let mut builder = Config::builder().queue(queue).max_event_bytes(max_event_bytes);
        let mut names = std::collections::HashSet::new();
        for (name, schema) in NAMED {
            let settings = json!({ "schema": schema, "time": null, "omit": ["/script"] });
            let schema = Schema::from_json(&settings).unwrap();
            builder = builder.input(InputName::new(name).unwrap(), schema);
        }
        for target in targets {
            if names.insert(target.name().clone()) {
                builder = builder.target(target);
            }
        }
        let config = builder.build().unwrap();
        let text = serde_json::to_string_pretty(&config.show()).unwrap();
        let again = parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(again.config, config, "{}", text);
    }
}
