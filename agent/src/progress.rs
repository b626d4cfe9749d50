//! Progress on its way to the hub: merged while it waits, and sent no more often than the hub takes it.

use std::time::Duration;

use brokkr_apis::work::v1alpha1::Progress;
use tokio::time::Instant;

/// The hub takes changed progress of one order at most this often, except for the name of the run.
const INTERVAL: Duration = Duration::from_secs(5);

/// What a run has reported since it was last sent.
#[derive(Debug, Default)]
pub struct PendingProgress {
    waiting: Option<Progress>,
    /// When something was last added; in the past, so that what is due at once is due by any later look at the clock.
    added_at: Option<Instant>,
    /// What the hub was told last, so that the same again is not sent.
    told: Progress,
    sent_at: Option<Instant>,
}

impl PendingProgress {
    /// Adds news to what waits. What the hub knows already is dropped.
    pub fn add(&mut self, news: Progress) {
        let mut waiting = self.waiting.take().unwrap_or_default();
        replace(&mut waiting, news);
        let mut known = self.told.clone();
        replace(&mut known, waiting.clone());
        self.waiting = (known != self.told).then_some(waiting);
        self.added_at = Some(Instant::now());
    }

    /// When what waits is to be sent; None if nothing waits. The name of the run is due at once: without it a
    /// restarted agent, or a person, cannot find the run.
    pub fn due(&self) -> Option<Instant> {
        let waiting = self.waiting.as_ref()?;
        match self.sent_at {
            Some(sent_at) if waiting.child_ref.is_none() => Some(sent_at + INTERVAL),
            _ => self.added_at,
        }
    }

    /// Takes what waits, if it is due.
    pub fn take(&mut self, now: Instant) -> Option<Progress> {
        if self.due()? > now {
            return None;
        }
        let progress = self.waiting.take()?;
        replace(&mut self.told, progress.clone());
        self.sent_at = Some(now);
        Some(progress)
    }

    /// Takes back what did not arrive, beneath what was reported since.
    pub fn put_back(&mut self, progress: Progress) {
        self.told = Progress::default();
        let newer = self.waiting.replace(progress);
        if let (Some(waiting), Some(newer)) = (self.waiting.as_mut(), newer) {
            replace(waiting, newer);
        }
    }
}

/// Overwrites the fields that the news has.
fn replace(old: &mut Progress, news: Progress) {
    let Progress {
        phase,
        message,
        child_ref,
        actions,
    } = news;
    old.phase = phase.or(old.phase);
    old.message = message.or(old.message.take());
    old.child_ref = child_ref.or(old.child_ref.take());
    if !actions.is_empty() {
        old.actions = actions;
    }
}

#[cfg(test)]
mod tests {
    use brokkr_apis::work::v1alpha1::ChildReference;

    use super::*;

    fn message(text: &str) -> Progress {
        Progress {
            message: Some(text.to_owned()),
            ..Progress::default()
        }
    }

    fn child() -> Progress {
        let child_ref = ChildReference {
            name: "wo-1-a1".to_owned(),
            ..ChildReference::default()
        };
        Progress {
            child_ref: Some(child_ref),
            ..Progress::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn messages_wait_for_the_interval_and_a_child_does_not() {
        let mut pending = PendingProgress::default();
        pending.add(message("first"));
        assert_eq!(pending.take(Instant::now()), Some(message("first")));

        pending.add(message("second"));
        assert_eq!(pending.take(Instant::now()), None);
        pending.add(child());
        let sent = pending.take(Instant::now()).unwrap();
        assert!(sent.child_ref.is_some() && sent.message.as_deref() == Some("second"));

        pending.add(message("third"));
        tokio::time::advance(INTERVAL).await;
        assert_eq!(pending.take(Instant::now()), Some(message("third")));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_at_once_stays_due() {
        let mut pending = PendingProgress::default();
        pending.add(child());
        let now = Instant::now();
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(pending.due().unwrap() <= now);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_hub_knows_is_not_sent_again() {
        let mut pending = PendingProgress::default();
        pending.add(message("same"));
        pending.take(Instant::now());
        pending.add(message("same"));
        assert_eq!(pending.due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_did_not_arrive_is_sent_again_beneath_what_is_newer() {
        let mut pending = PendingProgress::default();
        pending.add(child());
        let lost = pending.take(Instant::now()).unwrap();
        pending.add(message("newer"));
        pending.put_back(lost);
        let sent = pending.take(Instant::now()).unwrap();
        assert!(sent.child_ref.is_some() && sent.message.as_deref() == Some("newer"));
    }
}
