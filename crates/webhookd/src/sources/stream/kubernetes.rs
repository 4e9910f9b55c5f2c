//! A collection of the Kubernetes API: a list of its objects, then a watch of their changes.

use super::documents::Documents;
use super::frames::{Deletions, Frame, Item, Page, Status, added};
use super::reading::{Failure, Opened, Protocol, Reader};
use std::borrow::Cow;
use std::ops::ControlFlow;
use webhook_config::{Kubernetes, Resource, TargetUrl};

/// Lists and watches one resource type.
pub(super) struct Watch {
    settings: Kubernetes,
    resource: Resource,
    /// What is known of the objects since the last list.
    deletions: Deletions,
}

impl Watch {
    pub(super) fn new(settings: Kubernetes, resource: Resource) -> Watch {
        Watch {
            settings,
            resource,
            deletions: Deletions::unknown(),
        }
    }

    fn url(&self, parameters: &[(&str, &str)]) -> Result<TargetUrl, Failure> {
        let url = self.settings.url(&self.resource, parameters);
        url.ok_or_else(|| Failure::new("the request's URL is not valid"))
    }

    /// Submits every object as a watch would add it, and those that are gone as deleted. The cursor
    /// is the list's version once all of them are accepted. False if the program ends or the queue
    /// refuses an object.
    fn list(&mut self, reader: &mut Reader) -> Result<bool, Failure> {
        let limit = self.settings.page_size().to_string();
        let mut next: Option<String> = None;
        let mut listed = Deletions::of_list(self.settings.max_objects());
        loop {
            let mut parameters = vec![("limit", limit.as_str())];
            parameters.extend(next.as_deref().map(|next| ("continue", next)));
            let url = self.url(&parameters)?;
            let Opened::Answer(answer) = reader.open(&url.as_uri().to_string())? else {
                // Objects that were submitted are recognised by their ids.
                return Err(Failure::new("the list expired before its last page (410)"));
            };
            let body = reader.body(answer, self.settings.max_page_bytes())?;
            let page: Page<'_> = serde_json::from_slice(&body)
                .map_err(|error| Failure::new(format!("the list is not understood: {error}")))?;
            for object in &page.items {
                let item = Item::read(object.get());
                listed.note(&page, &item);
                let document = added(&page, object.get());
                reader.documents.submit(document.as_bytes(), None);
                if reader.documents.must_end() || reader.documents.has_refused() {
                    return Ok(false);
                }
            }
            match page.metadata.next {
                Some(token) if !token.is_empty() => next = Some(token.into_owned()),
                _ => {
                    for document in self.deletions.missing_in(&listed) {
                        reader.documents.submit(document.as_bytes(), None);
                    }
                    // Once deletions are accepted, they are not found again.
                    reader.documents.settle();
                    if reader.documents.must_end() || reader.documents.has_refused() {
                        return Ok(false);
                    }
                    self.deletions = listed;
                    let version = page.metadata.resource_version.into_owned();
                    reader.documents.advance(Some(version));
                    return Ok(true);
                }
            }
        }
    }

    /// Reads the changes after this version, until the server ends the watch.
    fn watch(&mut self, reader: &mut Reader, version: &str) -> Result<(), Failure> {
        // Before silenceMsec has passed: a quiet watch may send nothing.
        let seconds = self.settings.connection().silence().as_secs() * 9 / 10;
        let seconds = seconds.max(1).to_string();
        let url = self.url(&[
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", &seconds),
            ("resourceVersion", version),
        ])?;
        let answer = match reader.open(&url.as_uri().to_string())? {
            Opened::Answer(answer) => answer,
            Opened::Gone => return Err(self.expired(&mut reader.documents)),
        };
        reader.connect(&url.to_string());
        reader.for_each_line(answer, |documents, line| self.take(documents, line))
    }

    /// Takes a line of a watch.
    fn take(&mut self, documents: &mut Documents, line: &[u8]) -> ControlFlow<Result<(), Failure>> {
        let Ok(frame) = serde_json::from_slice::<Frame<'_>>(line) else {
            // The input says what happens to what is not understood.
            documents.submit(line, None);
            return ControlFlow::Continue(());
        };
        let item = Item::read(frame.object.get());
        let version = item.resource_version().map(Cow::into_owned);
        match &*frame.kind {
            "BOOKMARK" => documents.advance(version),
            "ERROR" => {
                let status = Status::read(frame.object.get());
                return ControlFlow::Break(Err(match status.code {
                    410 => self.expired(documents),
                    _ => Failure::new(format!("the server ended the watch: {status}")),
                }));
            }
            kind => {
                self.deletions.follow(kind, &item);
                documents.submit(line, version);
            }
        }
        ControlFlow::Continue(())
    }

    /// The version is too old to watch on from: what came after it is listed.
    fn expired(&self, documents: &mut Documents) -> Failure {
        let version = documents.cursor().unwrap_or_default();
        let deletions = match self.deletions.are_known() {
            true => "",
            false => ", and deletions meanwhile are not noticed",
        };
        documents.gap(&format!(
            "the server no longer has the changes after resourceVersion {version} (410); listing \
             the objects again, so that states in between{deletions} are missing"
        ));
        documents.settle();
        documents.restart_at(None);
        Failure::new("resourceVersion is too old (410)")
    }
}

impl Protocol for Watch {
    fn read(&mut self, reader: &mut Reader) -> Result<(), Failure> {
        let version = match reader.documents.position() {
            Some(version) => version,
            None => {
                if !self.list(reader)? {
                    return Ok(());
                }
                reader.documents.position().unwrap_or_default()
            }
        };
        self.watch(reader, &version)
    }
}
