//! Aurora's task structs, in one file for each part of a task.

mod config;
mod constraint;
mod container;
mod resource;
mod scheduled;
mod sla;

pub use config::{
    ExecutorConfig, Identity, JobKey, MesosFetcherUri, Metadata, PartitionPolicy, TaskConfig,
};
pub use constraint::{Constraint, LimitConstraint, TaskConstraint, ValueConstraint};
pub use container::{
    AppcImage, Container, DockerContainer, DockerImage, DockerParameter, Image, MesosContainer,
    Mode, Volume,
};
pub use resource::Resource;
pub use scheduled::{AssignedTask, ScheduledTask, TaskEvent};
pub use sla::{CoordinatorSlaPolicy, CountSlaPolicy, PercentageSlaPolicy, SlaPolicy};
