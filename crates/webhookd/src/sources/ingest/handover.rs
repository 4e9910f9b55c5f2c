//! Events on their way to the dispatcher.

use super::answer::Complaint;
use super::budget::Held;
use super::given::Given;
use crate::sources::Intake;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use webhook_dispatch::{Receipt, Refusal, SubmitError, Submitter};

/// How long an event waits for room before it is refused.
const PATIENCE: Duration = Duration::from_secs(1);
/// The first pause before an event that found no room is tried again; the next are longer.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Hands events over without ever blocking a thread.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) submitter: Submitter,
    pub(super) intake: Arc<Intake>,
    /// How long an event waits for the disk.
    pub(super) sync_timeout: Duration,
}

/// An event whose fate is not known yet.
#[derive(Debug)]
pub(super) struct Pending {
    fate: oneshot::Receiver<Result<Receipt, Refusal>>,
    until: Instant,
}

/// An event that found no room.
pub(super) struct Back {
    pub(super) event: Arc<[u8]>,
    pub(super) held: Arc<Held>,
}

/// What comes of trying once.
pub(super) enum Tried {
    Pending(Pending),
    Full(Back),
    Refused(Complaint),
}

impl Handover {
    /// Hands over an event. The memory that is held for it is let go of with its fate.
    pub(super) fn try_once(
        &self,
        event: Arc<[u8]>,
        held: Arc<Held>,
        given: &Given,
        line: Option<u64>,
    ) -> Tried {
        let (tell, fate) = oneshot::channel();
        let kept = Arc::clone(&held);
        let intake = Arc::clone(&self.intake);
        let completion = move |result: Result<Receipt, Refusal>| {
            if result.is_err() {
                intake.refuse();
            }
            drop(kept);
            // Whoever does not wait any longer was told so.
            drop(tell.send(result));
        };
        let until = Instant::now() + self.sync_timeout;
        // The other half is for the commit, so that no wait for room ends as a missing answer.
        let room = PATIENCE.min(self.sync_timeout / 2);
        let submission = given
            .submission(event, line)
            .room_until(Instant::now() + room);
        match self.submitter.submit_with(submission, None, completion) {
            Ok(_) => {
                self.intake.event();
                Tried::Pending(Pending { fate, until })
            }
            Err(SubmitError {
                event,
                refusal: Refusal::Full,
            }) => Tried::Full(Back { event, held }),
            Err(error) => Tried::Refused(Complaint::of(&error.refusal)),
        }
    }

    /// Hands over an event, and waits for room if it must.
    ///
    /// # Errors
    /// It is no event, or there was no room in time.
    pub(super) async fn hand_over(
        &self,
        mut event: Arc<[u8]>,
        mut held: Arc<Held>,
        given: &Given,
        line: Option<u64>,
    ) -> Result<Pending, Complaint> {
        let until = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_once(event, held, given, line) {
                Tried::Pending(pending) => return Ok(pending),
                Tried::Refused(complaint) => return Err(complaint),
                Tried::Full(_) if Instant::now() >= until => return Err(Complaint::busy()),
                Tried::Full(back) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    (event, held) = (back.event, back.held);
                }
            }
        }
    }
}

impl Pending {
    /// Waits until the event is safe.
    ///
    /// # Errors
    /// It was refused after all, or is not confirmed in time.
    pub(super) async fn fate(self) -> Result<Receipt, Complaint> {
        match tokio::time::timeout_at(self.until.into(), self.fate).await {
            Ok(Ok(Ok(receipt))) => Ok(receipt),
            Ok(Ok(Err(refusal))) => Err(Complaint::of(&refusal)),
            Ok(Err(_)) | Err(_) => Err(Complaint::unconfirmed()),
        }
    }
}
