//! The Kubernetes API as a source of events: which collections are listed and watched.

use crate::stream::{Connection, StreamUrl, percent_encoded};
use crate::url::TargetUrl;
use std::fmt;

/// Lists and watches of the Kubernetes API.
#[derive(Clone, Debug, PartialEq)]
pub struct Kubernetes {
    pub(crate) server: StreamUrl,
    pub(crate) resources: Vec<Resource>,
    pub(crate) namespace: Option<String>,
    pub(crate) label_selector: Option<String>,
    pub(crate) field_selector: Option<String>,
    pub(crate) page_size: u32,
    pub(crate) max_page_bytes: usize,
    pub(crate) max_objects: usize,
    pub(crate) connection: Connection,
}

/// A resource type, as kubectl spells it: `pods`, `jobs.batch` or `jobs.v1.batch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    name: String,
    group: String,
    version: String,
    written: String,
}

/// The text is not a resource type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a resource is such as pods, jobs.batch or jobs.v1.batch: its plural, version and group")]
pub struct InvalidResource;

impl Kubernetes {
    /// The URL of the API server.
    #[must_use]
    pub fn server(&self) -> &StreamUrl {
        &self.server
    }

    /// The resource types: at least one, and each once.
    #[must_use]
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The namespace; `None` for all of them.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The selector by labels.
    #[must_use]
    pub fn label_selector(&self) -> Option<&str> {
        self.label_selector.as_deref()
    }

    /// The selector by fields.
    #[must_use]
    pub fn field_selector(&self) -> Option<&str> {
        self.field_selector.as_deref()
    }

    /// How the API server is reached.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Objects in a page of a list.
    #[must_use]
    pub fn page_size(&self) -> u32 {
        self.page_size
    }

    /// The largest page of a list, in bytes.
    #[must_use]
    pub fn max_page_bytes(&self) -> usize {
        self.max_page_bytes
    }

    /// The most objects of a resource type that are remembered, so that a deletion is noticed.
    #[must_use]
    pub fn max_objects(&self) -> usize {
        self.max_objects
    }

    /// The URL of a list or watch, with these parameters besides the selectors.
    #[must_use]
    pub fn url(&self, resource: &Resource, parameters: &[(&str, &str)]) -> Option<TargetUrl> {
        let namespace = match &self.namespace {
            Some(namespace) => format!("namespaces/{namespace}/"),
            None => String::new(),
        };
        let Resource {
            name,
            group,
            version,
            ..
        } = resource;
        let prefix = match group.as_str() {
            "" => format!("api/{version}"),
            group => format!("apis/{group}/{version}"),
        };
        let server = self.server.at("").ok()?;
        let server = server.as_uri().to_string();
        let server = server.trim_end_matches('/');
        let mut url = format!("{server}/{prefix}/{namespace}{name}");
        let selectors = [
            ("labelSelector", self.label_selector.as_deref()),
            ("fieldSelector", self.field_selector.as_deref()),
        ];
        let selectors = selectors
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        let mut before = '?';
        for (key, value) in parameters.iter().copied().chain(selectors) {
            url.push_str(&format!("{before}{key}={}", percent_encoded(value)));
            before = '&';
        }
        TargetUrl::parse(&url).ok()
    }
}

impl Resource {
    /// Reads a resource type. Without a version, it is `v1`.
    ///
    /// # Errors
    /// When a part is not a DNS label.
    pub fn parse(text: &str) -> Result<Resource, InvalidResource> {
        let parts: Vec<&str> = text.split('.').collect();
        if text.len() > 253 || !parts.iter().all(|part| is_label(part)) {
            return Err(InvalidResource);
        }
        let (name, rest) = parts.split_first().ok_or(InvalidResource)?;
        let (version, group) = match rest.split_first() {
            Some((version, group)) if is_version(version) => (*version, group),
            _ => ("v1", rest),
        };
        Ok(Resource {
            name: (*name).to_owned(),
            group: group.join("."),
            version: version.to_owned(),
            written: text.to_owned(),
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// Whether the text is a label as in a host name.
pub(crate) fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether the text is a version of an API: `v1`, `v1beta2`.
fn is_version(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('v') else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let stage = rest.split_once("alpha").or(rest.split_once("beta"));
    stage.map_or(digits(rest), |(major, minor)| {
        digits(major) && digits(minor)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::parse;
    use crate::source::SourceKind;

    #[track_caller]
    fn check(keys: &str, resource: &str, expected: &str) {
        let text = format!(
            r#"{{"targetURL":"http://x/","headers":{{}},"timeoutMsec":5000,"sources":[{{"kubernetes":
            {{"server":"https://k:6443/","resources":["{resource}"]{keys}}}}}]}}"#
        );
        let (content, _) = parse(std::path::Path::new(""), "f", text.as_bytes()).unwrap();
        let SourceKind::Kubernetes(it) = &content.sources[0].kind else {
            panic!("it is one");
        };
        let url = it.url(
            &it.resources[0],
            &[("watch", "1"), ("resourceVersion", "1 2")],
        );
        assert_eq!(url.unwrap().as_uri().to_string(), expected);
    }

    #[test]
    fn a_resource_has_the_path_of_its_group_and_version() {
        let query = "?watch=1&resourceVersion=1%202";
        check("", "pods", &format!("https://k:6443/api/v1/pods{query}"));
        for (resource, path) in [
            ("jobs.batch", "batch/v1/jobs"),
            ("jobs.v1beta1.batch", "batch/v1beta1/jobs"),
            ("events.events.k8s.io", "events.k8s.io/v1/events"),
            (
                "workflows.v1alpha1.argoproj.io",
                "argoproj.io/v1alpha1/workflows",
            ),
        ] {
            check("", resource, &format!("https://k:6443/apis/{path}{query}"));
        }
        check(
            r#","namespace":"prod","labelSelector":"a=b,c in (d)","fieldSelector":"status.phase!=X""#,
            "pods",
            &format!(
                "https://k:6443/api/v1/namespaces/prod/pods{query}\
                 &labelSelector=a%3Db%2Cc%20in%20%28d%29&fieldSelector=status.phase%21%3DX"
            ),
        );
    }

    #[test]
    fn a_resource_that_could_leave_its_path_is_refused() {
        for text in [
            "", ".", "pods/log", "Pods", "pods.", "a..b", "../x", "pods?x",
        ] {
            assert_eq!(Resource::parse(text), Err(InvalidResource), "{text}");
        }
    }
}
