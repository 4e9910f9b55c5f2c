//! Arbitrary tasks with any mix of releases.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use webhook_model::{
    AppcImage, AssignedTask, Constraint, Container, CoordinatorSlaPolicy, CountSlaPolicy,
    DockerContainer, DockerImage, DockerParameter, ExecutorConfig, Identity, Image, JobKey,
    LimitConstraint, MesosContainer, MesosFetcherUri, Metadata, Mode, PartitionPolicy,
    PercentageSlaPolicy, Release, Resource, ScheduleStatus, ScheduledTask, SlaPolicy, StatusName,
    TaskConfig, TaskConstraint, TaskEvent, TaskStateChange, ValueConstraint, Volume,
};

/// Texts, many of which need escapes or have colliding hashes.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-c]{0,2}",
        1 => r#"[\\"'<>&=\x00-\x1f\x7f\u{2027}-\u{202a}é😀]{0,8}"#,
        1 => any::<String>(),
        1 => proptest::sample::select(vec!["Aa", "BB"]).prop_map(str::to_owned),
    ]
}

pub(crate) fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-1_000i32..1_000).prop_map(|n| f64::from(n) / 8.0),
        any::<u64>()
            .prop_map(f64::from_bits)
            .prop_filter("JSON has no other", |d| d.is_finite()),
        proptest::sample::select(vec![0.0, -0.0, 1e7, 1e-3, f64::MAX, 5e-324]),
    ]
}

fn long() -> impl Strategy<Value = i64> {
    prop_oneof![-2i64..3, any::<i64>()]
}

fn int() -> impl Strategy<Value = i32> {
    prop_oneof![-2i32..3, any::<i32>()]
}

fn status() -> impl Strategy<Value = StatusName<'static>> {
    prop_oneof![
        9 => proptest::sample::select(ScheduleStatus::ALL).prop_map(StatusName::from),
        1 => Just(StatusName::Other("HIBERNATING".into())),
    ]
}

/// Sets each given field of `$start` by its setter.
macro_rules! built {
    ($start:expr, $($setter:ident($strategy:expr)),* $(,)?) => {
        ($(of($strategy).boxed(),)*)
            .prop_map(move |($($setter,)*)| {
                let mut built = $start;
                $(if let Some(value) = $setter {
                    built = built.$setter(value);
                })*
                built
            })
            .boxed()
    };
}

pub(crate) fn resource() -> impl Strategy<Value = Resource> {
    prop_oneof![
        double().prop_map(Resource::NumCpus),
        long().prop_map(Resource::RamMb),
        long().prop_map(Resource::DiskMb),
        text().prop_map(Resource::NamedPort),
        long().prop_map(Resource::NumGpus),
    ]
}

fn constraint() -> BoxedStrategy<Constraint> {
    let condition = || {
        prop_oneof![
            built!(
                ValueConstraint::default(),
                with_negated(any::<bool>()),
                with_values(vec(text(), 0..4))
            )
            .prop_map(TaskConstraint::Value),
            built!(LimitConstraint::default(), with_limit(int())).prop_map(TaskConstraint::Limit),
        ]
    };
    built!(
        Constraint::default(),
        with_name(text()),
        with_constraint(condition())
    )
}

fn container() -> BoxedStrategy<Container> {
    let image = || {
        prop_oneof![
            built!(DockerImage::default(), with_name(text()), with_tag(text()))
                .prop_map(Image::Docker),
            built!(
                AppcImage::default(),
                with_name(text()),
                with_image_id(text())
            )
            .prop_map(Image::Appc),
        ]
    };
    let mode = || {
        proptest::sample::select(vec![
            Mode::ReadWrite,
            Mode::ReadOnly,
            Mode::Other("XX".to_owned()),
        ])
    };
    let volume = move || {
        built!(
            Volume::default(),
            with_container_path(text()),
            with_host_path(text()),
            with_mode(mode())
        )
    };
    let parameter = || {
        built!(
            DockerParameter::default(),
            with_name(text()),
            with_value(text())
        )
    };
    prop_oneof![
        built!(
            MesosContainer::default(),
            with_image(image()),
            with_volumes(vec(volume(), 0..3))
        )
        .prop_map(Container::Mesos),
        built!(
            DockerContainer::default(),
            with_image(text()),
            with_parameters(vec(parameter(), 0..3))
        )
        .prop_map(Container::Docker),
    ]
    .boxed()
}

fn sla_policy() -> impl Strategy<Value = SlaPolicy> {
    prop_oneof![
        built!(
            PercentageSlaPolicy::default(),
            with_percentage(double()),
            with_duration_secs(long())
        )
        .prop_map(SlaPolicy::Percentage),
        built!(
            CountSlaPolicy::default(),
            with_count(long()),
            with_duration_secs(long())
        )
        .prop_map(SlaPolicy::Count),
        built!(
            CoordinatorSlaPolicy::default(),
            with_coordinator_url(text()),
            with_status_key(text())
        )
        .prop_map(SlaPolicy::Coordinator),
    ]
}

pub(crate) fn config() -> BoxedStrategy<TaskConfig> {
    let job = || {
        built!(
            JobKey::default(),
            with_role(text()),
            with_environment(text()),
            with_name(text())
        )
    };
    let uri = || {
        built!(
            MesosFetcherUri::default(),
            with_value(text()),
            with_extract(any::<bool>()),
            with_cache(any::<bool>()),
            with_output_file(text()),
        )
    };
    let metadata = || built!(Metadata::default(), with_key(text()), with_value(text()));
    let executor = || {
        built!(
            ExecutorConfig::default(),
            with_name(text()),
            with_data(text())
        )
    };
    let partition = || {
        built!(
            PartitionPolicy::default(),
            with_reschedule(any::<bool>()),
            with_delay_secs(long())
        )
    };
    let scalars = built!(
        TaskConfig::default(),
        with_job(job()),
        with_owner(text().prop_map(Identity::new)),
        with_is_service(any::<bool>()),
        with_num_cpus(double()),
        with_ram_mb(long()),
        with_disk_mb(long()),
        with_priority(int()),
        with_max_task_failures(int()),
        with_production(any::<bool>()),
        with_tier(text()),
        with_contact_email(text()),
    );
    scalars
        .prop_flat_map(move |config| {
            built!(
                config.clone(),
                with_resources(vec(resource(), 0..5)),
                with_constraints(vec(constraint(), 0..4)),
                with_requested_ports(vec(text(), 0..15)),
                with_mesos_fetcher_uris(vec(uri(), 0..4)),
                with_task_links(vec((text(), text()), 0..15)),
                with_executor_config(executor()),
                with_metadata(vec(metadata(), 0..15)),
                with_partition_policy(partition()),
                with_sla_policy(sla_policy()),
                with_container(container()),
            )
        })
        .boxed()
}

pub(crate) fn task() -> BoxedStrategy<ScheduledTask> {
    let event = || {
        built!(
            TaskEvent::default(),
            with_timestamp(long()),
            with_status(status()),
            with_message(text()),
            with_scheduler(text()),
        )
    };
    let assigned = || {
        built!(
            AssignedTask::default(),
            with_task_id(text()),
            with_slave_id(text()),
            with_slave_host(text()),
            with_task(config()),
            with_assigned_ports(vec((text(), int()), 0..4)),
            with_instance_id(int()),
        )
    };
    built!(
        ScheduledTask::default(),
        with_assigned_task(assigned()),
        with_status(status()),
        with_failure_count(int()),
        with_times_partitioned(int()),
        with_task_events(vec(event(), 0..4)),
        with_ancestor_id(text()),
    )
}

pub(crate) fn change() -> impl Strategy<Value = TaskStateChange> {
    (task(), of(proptest::sample::select(ScheduleStatus::ALL))).prop_map(|(task, old)| match old {
        Some(old) => TaskStateChange::transition(task, old),
        None => TaskStateChange::initialized(task),
    })
}

pub(crate) fn release() -> impl Strategy<Value = Release> {
    proptest::sample::select(Release::ALL)
}
