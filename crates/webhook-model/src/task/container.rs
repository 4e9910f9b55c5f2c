//! The container that a task runs in.

use crate::Union;
use crate::field::FieldValue;
use crate::field::structure::structure;
use crate::field::variant::union;
use crate::hash::identity::Constant;
use crate::hash::{Asking, JavaHash, Unhashable};
use crate::json::error::ReadError;
use crate::json::scan::Scanner;
use crate::json_schema::{self, Definitions};
use crate::release::{Layout, Release, Span};
use serde::Serializer;
use serde_json::Value;

union! {
    /// The container that a task runs in.
    Container {
        /// Mesos's own containerizer.
        Mesos(MesosContainer) "MESOS";
        /// Docker.
        Docker(DockerContainer) "DOCKER";
    }
}

structure! {
    /// Mesos's own containerizer: with an image, or with the host's file system.
    MesosContainer {
        /// The image.
        part(Union<Image>) image, with_image, "image", Span::ALWAYS;
        /// The volumes that are mounted into it (from 0.17).
        list(Volume) volumes, with_volumes, "volumes", Span::from(Release::V0_17);
    }
}

structure! {
    /// A container that Docker runs.
    DockerContainer {
        /// The image's name, with its tag.
        text image, with_image, "image", Span::ALWAYS;
        /// Further options for Docker.
        list(DockerParameter) parameters, with_parameters, "parameters", Span::ALWAYS;
    }
}

structure! {
    /// An option for Docker, for example `volume`, with its value.
    DockerParameter {
        /// The option.
        text name, with_name, "name", Span::ALWAYS;
        /// Its value.
        text value, with_value, "value", Span::ALWAYS;
    }
}

union! {
    /// An image for Mesos's containerizer.
    Image {
        /// A Docker image.
        Docker(DockerImage) "DOCKER";
        /// An App Container image.
        Appc(AppcImage) "APPC";
    }
}

structure! {
    /// A Docker image.
    DockerImage {
        /// The image's name.
        text name, with_name, "name", Span::ALWAYS;
        /// Its tag.
        text tag, with_tag, "tag", Span::ALWAYS;
    }
}

structure! {
    /// An App Container image.
    AppcImage {
        /// The image's name.
        text name, with_name, "name", Span::ALWAYS;
        /// Its id.
        text image_id, with_image_id, "imageId", Span::ALWAYS;
    }
}

structure! {
    /// A directory of the host in the container (from 0.17).
    Volume {
        /// Its path in the container.
        text container_path, with_container_path, "containerPath", Span::ALWAYS;
        /// Its path on the host.
        text host_path, with_host_path, "hostPath", Span::ALWAYS;
        /// Whether the task may write to it.
        part(Mode) mode, with_mode, "mode", Span::ALWAYS;
    }
}

/// Whether a task may write to a volume.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// `RW`: it may.
    ReadWrite,
    /// `RO`: it may not.
    ReadOnly,
    /// A mode that this crate does not know.
    Other(String),
}

impl Mode {
    /// The name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Mode::ReadWrite => "RW",
            Mode::ReadOnly => "RO",
            Mode::Other(name) => name,
        }
    }
}

impl JavaHash for Mode {
    fn java_hash(&self, asking: &Asking<'_>) -> Result<i32, Unhashable> {
        asking.identity(match self {
            Mode::ReadWrite => const { Constant::known("Mode.RW") },
            Mode::ReadOnly => const { Constant::known("Mode.RO") },
            Mode::Other(name) => Constant::Other {
                family: "Mode",
                name,
            },
        })
    }
}

impl FieldValue for Mode {
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, ReadError> {
        Ok(match scanner.string()?.as_ref() {
            "RW" => Mode::ReadWrite,
            "RO" => Mode::ReadOnly,
            name => Mode::Other(name.to_owned()),
        })
    }

    fn write<S: Serializer>(&self, _: Layout, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }

    fn schema(_: &mut Definitions) -> Value {
        json_schema::name(["RW", "RO"].into_iter())
    }

    crate::field::value::same_by_eq!();
}

impl DockerContainer {
    /// A container of `image`, with nothing else set.
    #[must_use]
    pub fn new(image: impl Into<String>) -> Self {
        DockerContainer::default().with_image(image)
    }
}

impl Volume {
    /// The directory `host_path` of the host, mounted as `container_path`.
    #[must_use]
    pub fn new(
        container_path: impl Into<String>,
        host_path: impl Into<String>,
        mode: Mode,
    ) -> Self {
        let volume = Volume::default().with_container_path(container_path);
        volume.with_host_path(host_path).with_mode(mode)
    }
}
