//! Parts of a shown configuration that targets and sources share.

use crate::header::Header;
use crate::secret::MASK;
use crate::tls::Tls;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct ShownHeaders<'a>(pub(crate) &'a [Header]);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownTls {
    ca_file: Option<&'static str>,
    client_cert_file: Option<&'static str>,
    client_key_file: Option<&'static str>,
}

impl Serialize for ShownHeaders<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for header in self.0 {
            map.serialize_entry(header.written_name(), header.shown())?;
        }
        map.end()
    }
}

/// `None` if nothing was set.
pub(crate) fn show_tls(tls: &Tls) -> Option<ShownTls> {
    let client = tls.client().map(|_| MASK);
    (!tls.is_default()).then(|| ShownTls {
        ca_file: tls.ca_pem().map(|_| MASK),
        client_cert_file: client,
        client_key_file: client,
    })
}

pub(crate) fn msec(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
