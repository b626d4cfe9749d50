//! Updates: what a changed spec or a removed finalizer means for the order's life, and whose conditions count.
//!
//! What is prepared here is what a dry run shows and what is validated; when it is written it is decided once more by
//! [`crate::queue::change`], under the lock and by the database's clock.

use brokkr_apis::work::v1alpha1::{CANCELLATION_FINALIZER, WorkOrder, conditions};
use jiff::Timestamp;

use crate::lifecycle::{Event, Moment, QueueColumns, State, transition};

/// Keeps the status and writes into it what follows from the change.
pub(super) fn prepare(user: &str, new: &mut WorkOrder, old: &WorkOrder, now: Timestamp) {
    new.status.clone_from(&old.status);
    if new.spec != old.spec {
        // The store gives the same number; the status is computed from this spec.
        new.metadata.generation = Some(old.metadata.generation.unwrap_or(0) + 1);
        new.status.get_or_insert_default().observed_generation = new.metadata.generation;
    }
    let mut state = State::of(old, &QueueColumns::default()).under_spec_of(new);
    for event in events(user, new, old) {
        // What is refused because the order has moved on changes nothing.
        let Ok(step) = transition(&state, &event, Moment { now, jitter: 0.0 }) else {
            continue;
        };
        if step.changes_object() {
            step.apply(new, &event, now);
        }
        state = step.next;
    }
}

/// What the change asks for, in the order in which it happens.
pub(super) fn events(user: &str, new: &WorkOrder, old: &WorkOrder) -> Vec<Event> {
    let mut events = Vec::new();
    match (old.spec.is_suspended(), new.spec.is_suspended()) {
        (false, true) => events.push(Event::Suspended),
        (true, false) => events.push(Event::Resumed),
        (true, true) | (false, false) => {}
    }
    events.extend(cancel_request(user, new, old));
    if has_our_finalizer(old) && !has_our_finalizer(new) {
        events.push(Event::FinalizerRemoved { by: user.to_owned() });
    }
    events
}

/// The request to cancel, if this change makes it.
fn cancel_request(user: &str, new: &WorkOrder, old: &WorkOrder) -> Option<Event> {
    let cancel = new.spec.cancel.as_ref().filter(|_| old.spec.cancel.is_none())?;
    Some(Event::CancelRequested {
        by: user.to_owned(),
        reason: cancel.reason.clone(),
    })
}

fn has_our_finalizer(order: &WorkOrder) -> bool {
    order
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|finalizer| finalizer == CANCELLATION_FINALIZER)
}

/// Takes from a written status the conditions that are not the server's; all else stays.
pub(super) fn prepare_status(new: &mut WorkOrder, old: &WorkOrder) {
    let written = new.status.take().unwrap_or_default();
    *new = old.clone();
    let ours = |type_: &str| conditions::WORK_ORDER_TYPES.contains(&type_);
    let status = new.status.get_or_insert_default();
    status.conditions.retain(|condition| ours(&condition.type_));
    let others = written
        .conditions
        .into_iter()
        .filter(|condition| !ours(&condition.type_));
    status.conditions.extend(others);
}

#[cfg(test)]
mod tests {
    use brokkr_apis::work::v1alpha1::{CancelRequest, WorkOrderPhase, WorkOrderSpec, WorkOrderStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn order() -> WorkOrder {
        let spec = WorkOrderSpec {
            work_type: "build".to_owned(),
            ..WorkOrderSpec::default()
        };
        let mut order = WorkOrder::new("a", spec);
        order.metadata.generation = Some(1);
        order.metadata.uid = Some("6b3f5b1e-0000-4000-8000-000000000001".to_owned());
        order.status = Some(WorkOrderStatus::default());
        order
    }

    fn changed(old: &WorkOrder, change: impl FnOnce(&mut WorkOrder)) -> WorkOrder {
        let mut new = old.clone();
        change(&mut new);
        prepare("eve", &mut new, old, now());
        new
    }

    fn condition(type_: &str, status: &str) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: "R".to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(now()),
        }
    }

    #[test]
    fn an_update_does_not_write_the_status() {
        let new = changed(&order(), |new| {
            new.status.as_mut().unwrap().phase = WorkOrderPhase::Succeeded;
        });
        assert_eq!(new, order());
    }

    #[test]
    fn every_change_of_spec_has_been_observed() {
        let new = changed(&order(), |new| new.spec.priority = Some(7));
        assert_eq!(new.metadata.generation, Some(2));
        assert_eq!(new.status.unwrap().observed_generation, Some(2));
    }

    #[test]
    fn suspending_and_resuming_show_in_the_condition() {
        let suspended = changed(&order(), |new| new.spec.suspend = Some(true));
        let status = suspended.status.clone().unwrap();
        assert_eq!(
            (status.conditions[0].reason.as_str(), status.phase),
            ("Suspended", WorkOrderPhase::Pending)
        );
        assert!(status.message.contains("spec.suspend"), "{}", status.message);
        let resumed = changed(&suspended, |new| new.spec.suspend = Some(false))
            .status
            .unwrap();
        assert_eq!(
            (resumed.conditions[0].status.as_str(), resumed.phase),
            ("True", WorkOrderPhase::Pending)
        );
    }

    #[test]
    fn a_cancelled_waiting_order_has_ended() {
        let cancel = |new: &mut WorkOrder| {
            new.spec.cancel = Some(CancelRequest {
                reason: "too late".to_owned(),
            });
        };
        let status = changed(&order(), cancel).status.unwrap();
        assert_eq!(
            (status.phase, status.completion_time),
            (WorkOrderPhase::Cancelled, Some(Time(now())))
        );
        let cancellation = status.cancellation.unwrap();
        assert_eq!(
            (cancellation.requested_by.as_str(), cancellation.reason.as_str()),
            ("eve", "too late")
        );
    }

    #[test]
    fn an_order_without_ttl_goes_with_its_cancellation() {
        let new = changed(&order(), |new| {
            new.spec.cancel = Some(CancelRequest::default());
            new.spec.ttl_seconds_after_finished = Some(0);
        });
        assert!(new.metadata.deletion_timestamp.is_some() && new.metadata.finalizers.is_none());
    }

    #[test]
    fn a_status_writer_reaches_its_own_conditions_only() {
        let mut old = order();
        let status = old.status.as_mut().unwrap();
        status.conditions = vec![condition("Schedulable", "True"), condition("Mine", "False")];
        let mut new = order();
        new.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        new.spec.priority = Some(9);
        new.status = Some(WorkOrderStatus {
            phase: WorkOrderPhase::Succeeded,
            conditions: vec![condition("Schedulable", "False"), condition("Mine", "True")],
            ..WorkOrderStatus::default()
        });
        prepare_status(&mut new, &old);
        let mut expected = old.clone();
        expected.status.as_mut().unwrap().conditions[1] = condition("Mine", "True");
        assert_eq!(new, expected);
    }
}
