//! What commits together with the change of an order: its key, its log entry, and the rows of the queue.
//!
//! Only the objects before and after are at hand here; what has happened is read off them and decided once
//! more by the state machine, so that the entry is the same as one written by the queue. Of an order's
//! attempts the entry gets those the status remembers, the latest ten; earlier ones stay in `work.attempts`.

use brokkr_apis::work::v1alpha1::{Attempt, WorkOrder, WorkOrderPhase, WorkOrderStatus};
use generic_apiserver::registry::RegistryError;
use generic_apiserver::storage::{SideRow, Writes};
use jiff::Timestamp;
use serde_json::json;

use super::idempotency::{key_of, spec_hash};
use super::update::{cancel_request, state_before};
use crate::lifecycle::{Event, Moment, Transition, transition};
use crate::queue::{rows, written};

/// The key of a new order. One that was stored finished has none: its key is the earlier order's.
pub(super) fn on_create(new: &WorkOrder) -> Writes {
    if status_of(new).phase.is_terminal() {
        return Writes::default();
    }
    let row = json!({
        "uid": new.metadata.uid, "namespace": new.metadata.namespace, "name": new.metadata.name,
        "key": key_of(&new.spec), "spec_hash": spec_hash(&new.spec),
    });
    Writes {
        objects: Vec::new(),
        rows: vec![rows::row(rows::ADD_KEY, row)],
    }
}

/// What the change from `old` to `new` writes.
pub(super) fn on_change(user: &str, old: &WorkOrder, new: &WorkOrder) -> Result<Writes, RegistryError> {
    let (before, after) = (status_of(old), status_of(new));
    if before.phase.is_terminal() {
        return Ok(Writes::default());
    }
    if after.phase.is_terminal() {
        return on_end(user, old, new, &after);
    }
    let rows = cancel_deadline(new, &before, &after).into_iter().collect();
    Ok(Writes {
        objects: Vec::new(),
        rows,
    })
}

/// The order has ended: its one entry, and the end of what its holder had.
fn on_end(
    user: &str,
    old: &WorkOrder,
    new: &WorkOrder,
    after: &WorkOrderStatus,
) -> Result<Writes, RegistryError> {
    let now = after
        .completion_time
        .as_ref()
        .map_or_else(Timestamp::now, |time| time.0);
    let step = ending(user, old, new, now)?;
    let attempts: Vec<Attempt> = after.attempts.clone();
    let mut rows: Vec<SideRow> = Vec::new();
    if status_of(old).claim.is_some() {
        rows.push(rows::order(rows::DROP_LEASE, uid(new)));
        rows.extend(
            attempts
                .last()
                .map(|attempt| written::attempt_row(uid(new), attempt, None)),
        );
    }
    let entry = written::log_entry_writes(new, &step, attempts, now)?;
    let (entry, row) = entry.ok_or_else(|| RegistryError::Internal(not_an_end(new, &step)))?;
    rows.push(row);
    Ok(Writes {
        objects: vec![entry],
        rows,
    })
}

/// The transition that ended the order.
fn ending(user: &str, old: &WorkOrder, new: &WorkOrder, now: Timestamp) -> Result<Transition, RegistryError> {
    let step = transition(
        &state_before(new, old),
        &what_ended(user, old, new),
        Moment { now, jitter: 0.0 },
    )
    .map_err(|refusal| RegistryError::Internal(format!("an end that is refused: {refusal}")))?;
    if step.phase() == status_of(new).phase {
        Ok(step)
    } else {
        Err(RegistryError::Internal(not_an_end(new, &step)))
    }
}

/// What has ended the order, read off the two states.
fn what_ended(user: &str, old: &WorkOrder, new: &WorkOrder) -> Event {
    let before = status_of(old).phase;
    if let Some(cancel) = cancel_request(user, new, old).filter(|_| !before.is_held()) {
        return cancel;
    }
    let by = user.to_owned();
    if old.metadata.deletion_timestamp.is_some() {
        // A second delete without grace ends the order as the removal of our finalizer does.
        return Event::FinalizerRemoved { by };
    }
    Event::DeleteRequested {
        by,
        grace_seconds: before.is_held().then_some(0),
    }
}

/// When a cancellation is no longer waited for, if that is new.
fn cancel_deadline(new: &WorkOrder, before: &WorkOrderStatus, after: &WorkOrderStatus) -> Option<SideRow> {
    let deadline =
        |status: &WorkOrderStatus| status.cancellation.as_ref().and_then(|one| one.deadline.clone());
    let at = deadline(after).filter(|_| after.phase == WorkOrderPhase::Cancelling)?;
    let row = json!({"uid": uid(new), "at": at.0});
    (deadline(before).as_ref() != Some(&at)).then(|| rows::row(rows::SET_CANCEL_DEADLINE, row))
}

fn not_an_end(order: &WorkOrder, step: &Transition) -> String {
    format!(
        "order {} has ended as {}, the state machine says {}",
        uid(order),
        status_of(order).phase,
        step.phase()
    )
}

fn status_of(order: &WorkOrder) -> WorkOrderStatus {
    order.status.clone().unwrap_or_default()
}

fn uid(order: &WorkOrder) -> &str {
    order.metadata.uid.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use brokkr_apis::work::v1alpha1::{CancelRequest, LogOutcome, WorkOrderLog};
    use generic_apiserver::storage::ObjectWrite;

    use super::super::delete::tests::{deferred, now, order};
    use super::super::update::prepare;
    use super::*;

    fn entry(writes: &Writes) -> WorkOrderLog {
        match &writes.objects[..] {
            [ObjectWrite::Create { object, .. }] => object.to_typed().unwrap(),
            other => panic!("not one entry: {other:?}"),
        }
    }

    fn statements(writes: &Writes) -> Vec<&str> {
        writes.rows.iter().map(|row| row.statement).collect()
    }

    fn updated(old: &WorkOrder, change: impl FnOnce(&mut WorkOrder)) -> WorkOrder {
        let mut new = old.clone();
        change(&mut new);
        prepare("eve", &mut new, old, now());
        new
    }

    #[test]
    fn the_cancel_of_a_waiting_order_writes_one_entry() {
        let old = order(WorkOrderPhase::Pending);
        let new = updated(&old, |new| new.spec.cancel = Some(CancelRequest::default()));
        let writes = on_change("eve", &old, &new).unwrap();
        let entry = entry(&writes);
        let status = entry.status.unwrap();
        assert_eq!(
            (status.outcome, status.outcome_unknown),
            (LogOutcome::Cancelled, false)
        );
        assert_eq!(entry.metadata.name, new.status.unwrap().log_name);
        assert!(entry.metadata.uid.is_some() && entry.metadata.creation_timestamp.is_some());
        assert_eq!(statements(&writes), [rows::SET_LOGGED]);
    }

    #[test]
    fn the_delete_of_a_waiting_order_writes_one_entry() {
        let old = order(WorkOrderPhase::RetryPending);
        let writes = on_change("eve", &old, &deferred(&old, None)).unwrap();
        assert_eq!(entry(&writes).status.unwrap().message, "deleted by eve");
    }

    #[test]
    fn the_cancel_of_a_held_order_sets_its_deadline_and_ends_nothing() {
        let old = order(WorkOrderPhase::Running);
        let new = updated(&old, |new| new.spec.cancel = Some(CancelRequest::default()));
        let writes = on_change("eve", &old, &new).unwrap();
        assert!(writes.objects.is_empty());
        assert_eq!(statements(&writes), [rows::SET_CANCEL_DEADLINE]);
        assert_eq!(writes.rows[0].row["at"], "2026-01-01T00:01:00Z");
        let again = updated(&new, |again| again.spec.priority = Some(1));
        assert!(statements(&on_change("eve", &new, &again).unwrap()).is_empty());
    }

    #[test]
    fn an_end_that_nobody_confirmed_says_so_and_spends_the_fence() {
        let held = order(WorkOrderPhase::Running);
        let cancelling = deferred(&held, None);
        let released = updated(&cancelling, |new| new.metadata.finalizers = None);
        let cancelled = updated(&held, |new| new.spec.cancel = Some(CancelRequest::default()));
        let ends = [
            (&held, deferred(&held, Some(0))),
            (&cancelling, deferred(&cancelling, Some(0))),
            (&cancelled, deferred(&cancelled, Some(0))),
            (&cancelling, released),
        ];
        for (old, new) in ends {
            let writes = on_change("eve", old, &new).unwrap();
            let status = entry(&writes).status.unwrap();
            assert_eq!(
                (status.outcome, status.outcome_unknown),
                (LogOutcome::Cancelled, true)
            );
            assert_eq!(status.attempts.len(), 1);
            assert_eq!(
                status.attempts[0].outcome,
                new.status.as_ref().unwrap().attempts[0].outcome
            );
            assert_eq!(
                statements(&writes),
                [rows::DROP_LEASE, rows::SET_ATTEMPT, rows::SET_LOGGED]
            );
        }
    }

    #[test]
    fn a_finished_order_writes_nothing_more() {
        let old = order(WorkOrderPhase::Succeeded);
        let new = updated(&old, |new| new.spec.cancel = Some(CancelRequest::default()));
        let writes = on_change("eve", &old, &new).unwrap();
        assert!(writes.objects.is_empty() && writes.rows.is_empty());
        assert!(on_create(&old).rows.is_empty());
        assert_eq!(
            statements(&on_create(&order(WorkOrderPhase::Pending))),
            [rows::ADD_KEY]
        );
    }
}
