//! Payloads that together cover everything the wire format can contain.

use anyhow::Result;
use webhook_model::{
    AppcImage, AssignedTask, Constraint, Container, CoordinatorSlaPolicy, CountSlaPolicy,
    DockerContainer, DockerImage, DockerParameter, ExecutorConfig, IdentityHashes, Image, JobKey,
    Jvm, MesosContainer, MesosFetcherUri, Metadata, Mode, PartitionPolicy, PercentageSlaPolicy,
    Release, Resource, ScheduleStatus, ScheduledTask, SlaPolicy, TaskConfig, TaskConstraint,
    TaskEvent, TaskStateChange, ValueConstraint, Volume,
};

/// Files of payloads by name, without extension.
pub(super) fn payloads() -> Result<Vec<(&'static str, Vec<u8>)>> {
    Ok(vec![
        ("statuses", lines(statuses())?),
        ("unions", lines(unions())?),
        ("escapes", lines(escapes())?),
        ("doubles", lines(doubles())?),
        ("extremes", lines(extremes())?),
    ])
}

/// Each payload as written by each release that has its fields, with the fixed table's hashes.
fn lines(payloads: Vec<(Release, TaskStateChange)>) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for (release, payload) in payloads {
        let jvm = Jvm::new(release, IdentityHashes::fixed());
        let payload = payload.rebuilt(&jvm);
        // The scheduler computes the hash of the configuration, and not that of the task.
        if let Some(config) = payload.task().and_then(|task| task.assigned_task()?.task()) {
            config.hash_code_in(&jvm)?;
        }
        payload.write_json(&mut lines)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn config() -> TaskConfig {
    TaskConfig::new(JobKey::new("www-data", "prod", "hello"))
}

fn task(config: TaskConfig) -> ScheduledTask {
    let assigned = AssignedTask::new("www-data-prod-hello-0-0000", 0, config);
    ScheduledTask::new(assigned).entered(ScheduleStatus::Pending, 1_464_992_060_258)
}

fn of_all_releases(config: TaskConfig) -> impl Iterator<Item = (Release, TaskStateChange)> {
    let (_, change) = of_latest(config);
    let releases = Release::ALL.iter();
    releases.map(move |release| (*release, change.clone()))
}

fn of_latest(config: TaskConfig) -> (Release, TaskStateChange) {
    let change = TaskStateChange::transition(task(config), ScheduleStatus::Init);
    (Release::LATEST, change)
}

/// One payload for each status and release.
fn statuses() -> Vec<(Release, TaskStateChange)> {
    let mut payloads = Vec::new();
    for &release in Release::ALL {
        for &status in ScheduleStatus::ALL {
            if status == ScheduleStatus::Partitioned && release < Release::V0_20 {
                continue;
            }
            let task = task(config()).entered(status, 1_464_992_061_000);
            let change = TaskStateChange::transition(task, ScheduleStatus::Pending);
            payloads.push((release, change));
        }
        payloads.push((release, TaskStateChange::initialized(task(config()))));
    }
    payloads
}

/// Every arm of every union, alone and in sets, and every struct that is not in every payload.
fn unions() -> Vec<(Release, TaskStateChange)> {
    let resources = [
        Resource::NumCpus(0.5),
        Resource::RamMb(128),
        Resource::DiskMb(256),
        Resource::NamedPort("http".to_owned()),
        Resource::NumGpus(2),
    ];
    let none_of = ValueConstraint::default()
        .with_negated(true)
        .with_values(["gpu", "arm64"]);
    let none_of = TaskConstraint::Value(none_of);
    let constraints = [
        Constraint::limit("host", 1),
        Constraint::one_of("rack", ["a", "b"]),
        Constraint::default()
            .with_name("kind")
            .with_constraint(none_of),
        Constraint::one_of("zone", Vec::<String>::new()),
    ];
    let docker = DockerImage::default().with_name("hello").with_tag("1.2");
    let appc = AppcImage::default()
        .with_name("hello")
        .with_image_id("sha512-e3b0c442");
    let volumes = [
        Volume::new("/data", "/srv/data", Mode::ReadWrite),
        Volume::new("/etc/ssl", "/etc/ssl", Mode::ReadOnly),
    ];
    let parameter = DockerParameter::default()
        .with_name("volume")
        .with_value("/a:/b:ro");
    let mesos = MesosContainer::default;
    let containers = [
        Container::Mesos(mesos()),
        Container::Mesos(
            mesos()
                .with_image(Image::Docker(docker))
                .with_volumes(volumes),
        ),
        Container::Mesos(mesos().with_image(Image::Appc(appc))),
        Container::Docker(DockerContainer::new("hello:1.2")),
        Container::Docker(DockerContainer::new("hello").with_parameters([parameter])),
    ];
    let percentage = PercentageSlaPolicy::default()
        .with_percentage(99.5)
        .with_duration_secs(600);
    let count = CountSlaPolicy::default()
        .with_count(3)
        .with_duration_secs(1800);
    let coordinator = CoordinatorSlaPolicy::default()
        .with_coordinator_url("https://sla.example.com/drain?job=hello")
        .with_status_key("drain");
    let policies = [
        SlaPolicy::Percentage(percentage),
        SlaPolicy::Count(count),
        SlaPolicy::Coordinator(coordinator),
    ];
    let uris = [
        MesosFetcherUri::new("https://example.com/a.tar.gz")
            .with_extract(true)
            .with_cache(true),
        MesosFetcherUri::new("https://example.com/b").with_output_file("b.bin"),
    ];

    let mut configs: Vec<TaskConfig> = Vec::new();
    configs.extend(
        resources
            .iter()
            .map(|one| config().with_resources([one.clone()])),
    );
    configs.extend(
        constraints
            .iter()
            .map(|one| config().with_constraints([one.clone()])),
    );
    configs.extend(containers.map(|container| config().with_container(container)));
    configs.extend(policies.map(|policy| config().with_sla_policy(policy)));
    configs.push(
        config()
            .with_resources(resources)
            .with_constraints(constraints)
            .with_requested_ports(["http", "health"])
            .with_mesos_fetcher_uris(uris)
            .with_task_links([("http", "http://%host%:%port:http%"), ("log", "/log")])
            .with_executor_config(ExecutorConfig::new("AuroraExecutor", "{}"))
            .with_metadata([Metadata::new("a", "1"), Metadata::new("b", "2")])
            .with_partition_policy(PartitionPolicy::new(true, 300)),
    );
    configs.into_iter().flat_map(of_all_releases).collect()
}

/// Each character that Gson escapes, its neighbours, and some others; as a value and as a map's
/// key.
fn escapes() -> Vec<(Release, TaskStateChange)> {
    let escaped: String = ('\0'..=' ')
        .chain(['"', '&', '\'', '<', '=', '>', '\\', '/'])
        .collect();
    let raw = "\u{7f}\u{80}\u{9f}\u{a0}é\u{2027}\u{202a}\u{feff}\u{fffd}\u{ffff}中文😀\u{10ffff}";
    let texts = [
        escaped.as_str(),
        "\u{2028}\u{2029}",
        raw,
        "",
        "</script><a href='?a=1&b=2'>",
        r"C:\temp\u0041",
    ];
    let configs = texts.iter().map(|text| {
        config()
            .with_tier(*text)
            .with_task_links([(*text, *text)])
            .with_resources([Resource::NamedPort((*text).to_owned())])
    });
    configs.map(of_latest).collect()
}

/// Doubles at the limits of Java's notations, and some whose digits are hard to compute.
fn doubles() -> Vec<(Release, TaskStateChange)> {
    let doubles = [
        0.0,
        -0.0,
        0.1,
        1.0,
        -1.5,
        0.001,
        0.000_999_999_999_999_999_9,
        9_999_999.0,
        1e7,
        9_999_999.999_999_998,
        123_456.789,
        1e-5,
        1e21,
        2e-3,
        1e22,
        1e23,
        2f64.powi(-44),
        9_007_199_254_740_993.0,
        1_048_576.0 + 1.0 / 2_048.0,
        4.35,
        2.2e-322,
        f64::MIN_POSITIVE,
        5e-324,
        f64::MAX,
        f64::MIN,
        f64::EPSILON,
        1.0 / 3.0,
    ];
    let configs = doubles
        .iter()
        .map(|double| config().with_resources([Resource::NumCpus(*double)]));
    let old = doubles.iter().map(|double| {
        let (_, change) = of_latest(config().with_num_cpus(*double));
        (Release::V0_14, change)
    });
    configs.map(of_latest).chain(old).collect()
}

/// The largest and smallest numbers, collections and texts, and empty payloads.
fn extremes() -> Vec<(Release, TaskStateChange)> {
    let numbers = |long: i64, int: i32| {
        config()
            .with_ram_mb(long)
            .with_disk_mb(long)
            .with_priority(int)
            .with_max_task_failures(int)
            .with_resources([
                Resource::RamMb(long),
                Resource::DiskMb(long),
                Resource::NumGpus(long),
            ])
            .with_partition_policy(PartitionPolicy::new(false, long))
    };
    let many = |prefix: &str| (0..500).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
    let crowd = config()
        .with_resources(many("port").into_iter().map(Resource::NamedPort))
        .with_metadata(many("key").into_iter().map(|key| Metadata::new(key, "")))
        .with_task_links(many("link").into_iter().map(|link| (link, "")));
    let long = config().with_executor_config(ExecutorConfig::new("", "x\"\n'<é".repeat(10_000)));
    let mut payloads: Vec<_> = of_all_releases(numbers(i64::MAX, i32::MAX)).collect();
    payloads.extend(of_all_releases(numbers(i64::MIN, i32::MIN)));
    payloads.extend(of_all_releases(TaskConfig::default()));
    payloads.push(of_latest(crowd));
    payloads.push(of_latest(long));
    for &release in Release::ALL {
        let empty = ScheduledTask::default;
        let event = TaskEvent::new(i64::MIN, ScheduleStatus::Init);
        for task in [empty(), empty().with_event(event)] {
            payloads.push((release, TaskStateChange::initialized(task)));
        }
    }
    payloads
}
