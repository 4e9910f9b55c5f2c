//! The releases of Aurora that changed the payload, and the layouts of a payload.

use std::fmt;

/// A release of Aurora that changed the payload. A release between two of these writes like the
/// older one: 0.16 like 0.15, 0.18 and 0.19 like 0.17.
///
/// ```
/// use webhook_model::Release;
/// assert!(Release::V0_14 < Release::V0_22);
/// assert_eq!(Release::from_name("0.20"), Some(Release::V0_20));
/// assert_eq!(Release::LATEST.name(), "0.22");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Release {
    /// 0.14, the first with a webhook.
    V0_14,
    /// 0.15 and 0.16: `mesosFetcherUris`.
    V0_15,
    /// 0.17 to 0.19: a Mesos container's `volumes`.
    V0_17,
    /// 0.20: `timesPartitioned`, `partitionPolicy` and the old state; no `numCpus`, `ramMb`,
    /// `diskMb` and `requestedPorts` any more.
    V0_20,
    /// 0.21: `slaPolicy`.
    V0_21,
    /// 0.22: a fetcher URI's `outputFile`.
    V0_22,
}

impl Release {
    /// Every release, oldest first.
    pub const ALL: &'static [Release] = &[
        Release::V0_14,
        Release::V0_15,
        Release::V0_17,
        Release::V0_20,
        Release::V0_21,
        Release::V0_22,
    ];

    /// The newest release, whose layout is the default for writing.
    pub const LATEST: Release = Release::V0_22;

    /// The number of the release, for example `"0.14"`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Release::V0_14 => "0.14",
            Release::V0_15 => "0.15",
            Release::V0_17 => "0.17",
            Release::V0_20 => "0.20",
            Release::V0_21 => "0.21",
            Release::V0_22 => "0.22",
        }
    }

    /// The release whose payload the Aurora release of this number writes: `"0.14"` to `"0.22"`,
    /// with or without a patch number.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Release> {
        let minor: u32 = name.strip_prefix("0.")?.split('.').next()?.parse().ok()?;
        Some(match minor {
            14 => Release::V0_14,
            15 | 16 => Release::V0_15,
            17..=19 => Release::V0_17,
            20 => Release::V0_20,
            21 => Release::V0_21,
            22 => Release::V0_22,
            _ => return None,
        })
    }

    /// Whether the payload has the old state of a transition: from 0.20 on.
    #[must_use]
    pub fn writes_old_state(self) -> bool {
        self >= Release::V0_20
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The releases that have a field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: Release,
    /// The last release that has it.
    pub(crate) until: Release,
}

impl Span {
    pub(crate) const ALWAYS: Span = Span {
        from: Release::V0_14,
        until: Release::V0_22,
    };

    pub(crate) const fn from(from: Release) -> Span {
        Span {
            from,
            ..Span::ALWAYS
        }
    }

    pub(crate) const fn until(until: Release) -> Span {
        Span {
            until,
            ..Span::ALWAYS
        }
    }

    #[inline]
    pub(crate) fn holds(self, release: Release) -> bool {
        self.from <= release && release <= self.until
    }
}

/// The fields that a payload is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// The fields that it has, of any release. The layout of a payload that was read, which is
    /// written as it was read.
    AsRead,
    /// The fields of one release. A field that Java cannot omit (a number, a boolean, a collection)
    /// is written with its default if the payload does not have it.
    Of(Release),
}

impl Layout {
    #[inline]
    pub(crate) fn has(self, span: Span) -> bool {
        match self {
            Layout::AsRead => true,
            Layout::Of(release) => span.holds(release),
        }
    }
}
