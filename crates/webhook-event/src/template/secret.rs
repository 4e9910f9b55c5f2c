//! Secrets in a template, which come from the environment or a file.

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretOrigin {
    /// The environment variable of this name: `{"$env": NAME}`.
    Env(String),
    /// The file at this path: `{"$file": PATH}`.
    File(String),
}

/// A secret that a template needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretReference {
    /// Where it comes from.
    pub origin: SecretOrigin,
    /// The names and indices on the way to it in the template, outermost first.
    pub place: Vec<String>,
}

/// A secret, once it is known.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret {
    pub(super) reference: SecretReference,
    pub(super) text: Option<String>,
}
