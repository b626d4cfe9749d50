//! Creates Events, in bounds: a queue that drops, a rate, and a memory of what was told already.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use brokkr_apis::work::v1alpha1::WorkOrder;
use k8s_openapi::Resource;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::notice::Notice;
use super::rate::TokenBucket;
use crate::queue::sha256_hex;

const REPORTING_CONTROLLER: &str = "work.brokkr.io/apiserver";

/// Bounds of kube-apiserver on what an Event says.
const NOTE_BYTES_MAX: usize = 1024;
const INSTANCE_BYTES_MAX: usize = 128;

/// With a dot and 16 digits, a name of 253 bytes is full.
const NAME_BYTES_MAX: usize = 236;
const NAME_DIGITS: usize = 16;

/// How many Events wait to be created.
const QUEUE_MAX: usize = 256;
/// How many names are remembered; what is told again after that is refused by its name.
const TOLD_MAX: usize = 10_000;

const BURST: u32 = 50;
const PER_SECOND: u32 = 10;

/// How often a log line says how many Events were dropped, at most.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Takes what is to be told and never waits.
pub struct Recorder {
    queue: mpsc::Sender<Event>,
    instance: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bucket: TokenBucket,
    told: HashSet<String>,
    told_order: VecDeque<String>,
    dropped: u64,
    reported_at: Instant,
}

impl Recorder {
    /// A recorder that calls itself `instance` (the name of the replica), and the task that creates what it
    /// takes, until `token` is cancelled.
    #[must_use]
    pub fn start(client: Client, instance: &str, token: &CancellationToken) -> Self {
        let (recorder, events) = Self::new(instance);
        let token = token.clone();
        tokio::spawn(async move { token.run_until_cancelled(create_all(client, events)).await });
        recorder
    }

    fn new(instance: &str) -> (Self, mpsc::Receiver<Event>) {
        let (queue, events) = mpsc::channel(QUEUE_MAX);
        let now = Instant::now();
        let state = State {
            bucket: TokenBucket::new(BURST, PER_SECOND, now),
            told: HashSet::new(),
            told_order: VecDeque::new(),
            dropped: 0,
            reported_at: now,
        };
        let instance = cut(instance, INSTANCE_BYTES_MAX).to_owned();
        (
            Self {
                queue,
                instance,
                state: Mutex::new(state),
            },
            events,
        )
    }

    /// Tells it, unless it was told before or too much is told already.
    pub(super) fn record(&self, order: &ObjectMeta, notice: &Notice) {
        let name = event_name(order, notice);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.told.contains(&name) {
            return;
        }
        state.remember(name.clone());
        let now = Instant::now();
        let taken = state.bucket.take(now)
            && self
                .queue
                .try_send(event(order, notice, name, &self.instance))
                .is_ok();
        if !taken {
            state.dropped += 1;
        }
        state.report(now);
    }
}

impl State {
    fn remember(&mut self, name: String) {
        if self.told_order.len() >= TOLD_MAX
            && let Some(oldest) = self.told_order.pop_front()
        {
            self.told.remove(&oldest);
        }
        self.told.insert(name.clone());
        self.told_order.push_back(name);
    }

    /// One line for all that was dropped in a while.
    fn report(&mut self, now: Instant) {
        if self.dropped > 0 && now.saturating_duration_since(self.reported_at) >= REPORT_INTERVAL {
            tracing::warn!(
                dropped = self.dropped,
                "Events were dropped; the orders' status says the same"
            );
            self.dropped = 0;
            self.reported_at = now;
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

/// Creates Events one after the other. Failures are not repeated: an Event is a hint.
async fn create_all(client: Client, mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {}
            // Another replica was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => tracing::debug!(namespace, %error, "an Event was not created"),
        }
    }
}

/// The same in every replica: which order, and which occurrence.
fn event_name(order: &ObjectMeta, notice: &Notice) -> String {
    let uid = order.uid.as_deref().unwrap_or_default();
    let digest = sha256_hex(&format!("{uid} {} {}", notice.reason, notice.identity));
    let kept = cut(order.name.as_deref().unwrap_or_default(), NAME_BYTES_MAX).trim_end_matches(['-', '.']);
    format!("{kept}.{}", cut(&digest, NAME_DIGITS))
}

fn event(order: &ObjectMeta, notice: &Notice, name: String, instance: &str) -> Event {
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: order.namespace.clone(),
            ..ObjectMeta::default()
        },
        type_: Some(if notice.warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(notice.reason.clone()),
        action: Some(notice.action.to_owned()),
        note: Some(cut(&notice.message, NOTE_BYTES_MAX).to_owned()),
        event_time: Some(MicroTime(notice.at)),
        regarding: Some(ObjectReference {
            api_version: Some(WorkOrder::API_VERSION.to_owned()),
            kind: Some(WorkOrder::KIND.to_owned()),
            namespace: order.namespace.clone(),
            name: order.name.clone(),
            uid: order.uid.clone(),
            resource_version: order.resource_version.clone(),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(REPORTING_CONTROLLER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        ..Event::default()
    }
}

/// The longest beginning of the text that fits, in whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn order() -> ObjectMeta {
        ObjectMeta {
            name: Some("build-a".to_owned()),
            namespace: Some("team-a".to_owned()),
            uid: Some("u-1".to_owned()),
            resource_version: Some("12".to_owned()),
            ..ObjectMeta::default()
        }
    }

    fn notice(identity: &str) -> Notice {
        Notice {
            warning: true,
            reason: "AttemptFailed".to_owned(),
            action: "Run",
            message: "é".repeat(2000),
            at: Timestamp::UNIX_EPOCH,
            identity: identity.to_owned(),
        }
    }

    #[test]
    fn the_name_depends_on_the_occurrence_alone() {
        let name = event_name(&order(), &notice("attempt 1"));
        let mut later = order();
        later.resource_version = Some("99".to_owned());
        assert_eq!(event_name(&later, &notice("attempt 1")), name);
        assert_ne!(event_name(&order(), &notice("attempt 2")), name);
        later.uid = Some("u-2".to_owned());
        assert_ne!(event_name(&later, &notice("attempt 1")), name);
        let mut long = order();
        long.name = Some(format!("{}-{}", "a".repeat(235), "b".repeat(17)));
        let name = event_name(&long, &notice("attempt 1"));
        assert!(
            name.len() <= 253 && name.starts_with(&format!("{}.", "a".repeat(235))),
            "{name}"
        );
    }

    #[test]
    fn an_event_keeps_within_the_bounds_of_kube_apiserver() {
        let event = event(&order(), &notice("attempt 1"), "n".to_owned(), "replica-0");
        let note = event.note.unwrap();
        assert!(note.len() <= 1024 && note.chars().all(|letter| letter == 'é'));
        let regarding = event.regarding.unwrap();
        assert_eq!(regarding.api_version.as_deref(), Some("work.brokkr.io/v1alpha1"));
        assert_eq!(
            (regarding.kind.as_deref(), regarding.uid.as_deref()),
            (Some("WorkOrder"), Some("u-1"))
        );
        assert_eq!(event.metadata.namespace, regarding.namespace);
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert!(event.event_time.is_some() && event.action.is_some());
    }

    #[test]
    fn an_occurrence_is_told_once_and_a_flood_is_dropped() {
        let (recorder, mut events) = Recorder::new("replica-0");
        for _ in 0..3 {
            recorder.record(&order(), &notice("attempt 1"));
        }
        assert!(events.try_recv().is_ok() && events.try_recv().is_err());
        for number in 0..1000 {
            recorder.record(&order(), &notice(&number.to_string()));
        }
        let mut created = 0;
        while events.try_recv().is_ok() {
            created += 1;
        }
        let dropped = recorder.state.lock().unwrap().dropped;
        assert!(
            created < 100 && created + dropped == 1000,
            "{created} created, {dropped} dropped"
        );
    }

    #[test]
    fn the_memory_is_bounded() {
        let (recorder, _events) = Recorder::new("replica-0");
        let mut state = recorder.state.lock().unwrap();
        (0..TOLD_MAX + 5).for_each(|number| state.remember(number.to_string()));
        assert_eq!((state.told.len(), state.told_order.len()), (TOLD_MAX, TOLD_MAX));
        assert!(!state.told.contains("4") && state.told.contains("5"));
    }
}
