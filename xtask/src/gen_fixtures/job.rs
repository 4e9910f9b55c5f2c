//! The jobs of a simulated cluster.

use super::random::Random;
use webhook_model::{
    Constraint, Container, CountSlaPolicy, DockerContainer, DockerImage, DockerParameter,
    ExecutorConfig, Image, JobKey, MesosContainer, MesosFetcherUri, Metadata, Mode,
    PartitionPolicy, PercentageSlaPolicy, Resource, SlaPolicy, TaskConfig, Volume,
};

const ROLES: &[&str] = &[
    "www-data",
    "ads",
    "search",
    "billing",
    "mesos-batch",
    "vagrant",
];
const ENVIRONMENTS: &[&str] = &["prod", "prod", "devel", "test", "staging1"];
const NAMES: &[&str] = &[
    "frontend",
    "indexer",
    "ledger",
    "hello_world",
    "http_example",
    "mailer",
    "thumbnailer",
    "ranker",
    "cron-report",
    "gateway",
];

/// A Thermos task as its client writes it: JSON with spaces, in a string of the payload.
const THERMOS: &str = include_str!("thermos_job.txt");

/// The configuration of a job, as a client would submit it to a scheduler of the latest release.
pub(super) fn config(number: usize, random: &mut Random) -> TaskConfig {
    let role = *random.choose(ROLES);
    let environment = *random.choose(ENVIRONMENTS);
    let name = format!("{}-{number}", random.choose(NAMES));
    let is_service = random.percent(80);
    let cpus = *random.choose(&[0.1, 0.25, 0.5, 1.0, 2.0, 4.0]);
    let ram = *random.choose(&[64, 128, 512, 1024, 4096, 16_384]);
    let ports: &[&str] = if is_service { &["http", "health"] } else { &[] };
    let is_production = environment == "prod";
    let mut thermos = THERMOS.trim_end().replace('\n', " ");
    for (word, value) in [
        ("$environment", environment),
        ("$name", &name),
        ("$role", role),
        ("$is_service", &is_service.to_string()),
        ("$production", &is_production.to_string()),
        ("$cpus", &format!("{cpus:?}")),
        ("$ram", &(ram << 20).to_string()),
        ("$disk", &(ram << 21).to_string()),
    ] {
        thermos = thermos.replace(word, value);
    }

    let amounts = [
        Resource::NumCpus(cpus),
        Resource::RamMb(ram),
        Resource::DiskMb(2 * ram),
    ];
    let ports = ports
        .iter()
        .map(|port| Resource::NamedPort((*port).to_owned()));
    let config = TaskConfig::new(JobKey::new(role, environment, &name))
        .with_is_service(is_service)
        .with_priority(*random.choose(&[0, 0, 0, 10, 100]))
        .with_max_task_failures(if is_service { -1 } else { 3 })
        .with_production(is_production)
        .with_tier(if is_production {
            "preferred"
        } else {
            "preemptible"
        })
        .with_resources(amounts.into_iter().chain(ports))
        .with_constraints([Constraint::limit("host", 1)])
        .with_contact_email(format!("{role}-oncall@example.com"))
        .with_executor_config(ExecutorConfig::new("AuroraExecutor", thermos))
        .with_metadata([
            Metadata::new("org.apache.aurora.metadata.owner", role),
            Metadata::new("git-sha", format!("{:016x}", random.next())),
        ])
        .with_partition_policy(PartitionPolicy::new(is_service, 300))
        .with_container(container(&name, random));
    let config = match random.below(4) {
        0 => config.with_sla_policy(SlaPolicy::Percentage(
            PercentageSlaPolicy::default()
                .with_percentage(95.0)
                .with_duration_secs(1800),
        )),
        1 => config.with_sla_policy(SlaPolicy::Count(
            CountSlaPolicy::default()
                .with_count(2)
                .with_duration_secs(600),
        )),
        _ => config,
    };
    let config = if is_service {
        config.with_task_links([("http", "http://%host%:%port:http%/?from=aurora&verbose=1")])
    } else {
        let uri = format!("hdfs://namenode.example.com/jobs/{name}.tar.gz");
        config.with_mesos_fetcher_uris([MesosFetcherUri::new(uri).with_extract(true)])
    };
    // The scheduler compares jobs by the hashes of their configurations.
    config.hash_code();
    config
}

fn container(name: &str, random: &mut Random) -> Container {
    match random.below(5) {
        0 => {
            let image = format!("registry.example.com/{name}:1.{}", random.below(20));
            let parameter = DockerParameter::default()
                .with_name("label")
                .with_value("team=x");
            Container::Docker(DockerContainer::new(image).with_parameters([parameter]))
        }
        1 => {
            let image = DockerImage::default().with_name(name).with_tag("stable");
            let volume = Volume::new("/etc/ssl", "/etc/ssl", Mode::ReadOnly);
            let container = MesosContainer::default().with_image(Image::Docker(image));
            Container::Mesos(container.with_volumes([volume]))
        }
        _ => Container::Mesos(MesosContainer::default()),
    }
}
