//! What is written beside an order: its key when it is new, and what follows when a user moves it.

use brokkr_apis::work::v1alpha1::{WorkOrder, WorkOrderStatus};
use generic_apiserver::mutant;
use generic_apiserver::registry::ReadyChange;
use generic_apiserver::storage::Writes;
use serde_json::json;

use super::idempotency::{key_of, namespace_uid, spec_hash};
use super::update;
use crate::lifecycle::Event;
use crate::queue::change::ChangeInput;

/// The key of a new order. One that was stored finished has none: its key is the earlier order's.
pub(super) fn on_create(new: &WorkOrder) -> Writes {
    if is_terminal(new) {
        return Writes::default();
    }
    let columns = [
        ("namespace_uid", json!(namespace_uid(new))),
        ("idempotency_key", json!(key_of(&new.spec))),
        ("spec_hash", json!(spec_hash(&new.spec))),
    ];
    Writes {
        columns: columns
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect(),
        ..Writes::default()
    }
}

/// The input of the queue's mutation, for a change that moves the order in its life; `None` for any other.
pub(super) fn decided_change(user: &str, change: &ReadyChange<'_, WorkOrder>) -> Option<ChangeInput> {
    let (old, new) = (change.old, change.new);
    if is_terminal(old) || mutant!("i5-end-of-a-user-without-entry") {
        return None;
    }
    let events = match change.delete {
        Some(options) => vec![Event::DeleteRequested {
            by: user.to_owned(),
            grace_seconds: options.grace_period_seconds,
        }],
        None => update::events(user, new, old),
    };
    (!events.is_empty()).then(|| ChangeInput {
        uid: old.metadata.uid.clone().unwrap_or_default(),
        key: change.stored.key.clone(),
        version: change.stored.version,
        wanted: undecided(new, old),
        events,
    })
}

/// The change without what was foreseen of its consequences.
fn undecided(new: &WorkOrder, old: &WorkOrder) -> WorkOrder {
    let mut wanted = new.clone();
    wanted.status.clone_from(&old.status);
    wanted.status.get_or_insert_default().observed_generation = new.metadata.generation;
    wanted
        .metadata
        .deletion_timestamp
        .clone_from(&old.metadata.deletion_timestamp);
    wanted.metadata.deletion_grace_period_seconds = old.metadata.deletion_grace_period_seconds;
    wanted
}

fn is_terminal(order: &WorkOrder) -> bool {
    let status: Option<&WorkOrderStatus> = order.status.as_ref();
    status.is_some_and(|status| status.phase.is_terminal())
}
