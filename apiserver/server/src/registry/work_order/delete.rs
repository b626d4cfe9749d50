//! Deletion: a finished order goes at once, a waiting one is cancelled first, a held one waits for its holder.

use brokkr_apis::work::v1alpha1::WorkOrder;
use generic_apiserver::registry::{DeleteOptions, Deletion, RegistryError};
use jiff::Timestamp;

use crate::lifecycle::{Event, Moment, QueueColumns, State, transition};

/// What a delete does with the order.
pub(super) fn delete(
    user: &str,
    current: &WorkOrder,
    options: DeleteOptions,
    now: Timestamp,
) -> Result<Deletion<WorkOrder>, RegistryError> {
    let state = State::of(current, &QueueColumns::default());
    if state.phase.is_terminal() {
        return Ok(Deletion::Immediate);
    }
    let event = Event::DeleteRequested {
        by: user.to_owned(),
        grace_seconds: options.grace_period_seconds,
    };
    let step = transition(&state, &event, Moment { now, jitter: 0.0 }).map_err(|refusal| {
        RegistryError::Conflict {
            message: refusal.to_string(),
            causes: Vec::new(),
        }
    })?;
    let mut next = current.clone();
    if step.changes_object() {
        if next.metadata.deletion_timestamp.is_none() {
            // The store gives the same number; the status is computed from what it means.
            next.metadata.generation = Some(next.metadata.generation.unwrap_or(0) + 1);
        }
        step.apply(&mut next, &event, now);
    }
    Ok(Deletion::Deferred(Box::new(next)))
}

#[cfg(test)]
mod tests {
    use brokkr_apis::work::v1alpha1::{
        Attempt, CANCELLATION_FINALIZER, ClaimStatus, Fence, WorkOrderPhase, WorkOrderSpec, WorkOrderStatus,
    };
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn order(phase: WorkOrderPhase) -> WorkOrder {
        let spec = WorkOrderSpec {
            work_type: "build".to_owned(),
            ..WorkOrderSpec::default()
        };
        let mut order = WorkOrder::new("a", spec);
        order.metadata.generation = Some(1);
        order.metadata.namespace = Some("n".to_owned());
        order.metadata.uid = Some("6b3f5b1e-0000-4000-8000-000000000001".to_owned());
        let mut status = WorkOrderStatus {
            phase,
            ..WorkOrderStatus::default()
        };
        if phase.is_held() {
            let claimed_at = Time(now());
            let (agent, holder, fence) = ("east".to_owned(), "h".to_owned(), Fence(5));
            status.attempts = vec![Attempt {
                number: 1,
                agent: agent.clone(),
                holder: holder.clone(),
                fence,
                claimed_at: Some(claimed_at.clone()),
                ..Attempt::default()
            }];
            status.claim = Some(ClaimStatus {
                agent,
                holder,
                fence,
                claimed_at,
                lease_duration_seconds: 60,
            });
        }
        order.status = Some(status);
        order
    }

    fn deferred(order: &WorkOrder, grace: Option<i64>) -> WorkOrder {
        match delete(
            "eve",
            order,
            DeleteOptions {
                grace_period_seconds: grace,
            },
            now(),
        )
        .unwrap()
        {
            Deletion::Deferred(next) => *next,
            Deletion::Immediate => panic!("the order goes at once"),
        }
    }

    fn phase(order: &WorkOrder) -> WorkOrderPhase {
        order.status.as_ref().unwrap().phase
    }

    #[test]
    fn a_finished_order_goes_at_once() {
        for phase in [
            WorkOrderPhase::Succeeded,
            WorkOrderPhase::Failed,
            WorkOrderPhase::Cancelled,
        ] {
            let deletion = delete("eve", &order(phase), DeleteOptions::default(), now()).unwrap();
            assert!(matches!(deletion, Deletion::Immediate), "{phase}");
        }
    }

    #[test]
    fn a_waiting_order_is_cancelled_and_nothing_holds_it() {
        for waiting in [WorkOrderPhase::Pending, WorkOrderPhase::RetryPending] {
            let next = deferred(&order(waiting), None);
            assert_eq!(phase(&next), WorkOrderPhase::Cancelled);
            assert!(next.metadata.finalizers.is_none());
        }
    }

    #[test]
    fn a_held_order_waits_for_its_holder() {
        let next = deferred(&order(WorkOrderPhase::Running), Some(1));
        assert_eq!(phase(&next), WorkOrderPhase::Cancelling);
        assert_eq!(
            next.metadata.finalizers,
            Some(vec![CANCELLATION_FINALIZER.to_owned()])
        );
        let deadline = next.status.unwrap().cancellation.unwrap().deadline.unwrap();
        assert_eq!(deadline.0.to_string(), "2026-01-01T00:00:05Z");
    }

    #[test]
    fn a_second_delete_may_only_shorten() {
        let first = deferred(&order(WorkOrderPhase::Claimed), Some(30));
        assert_eq!(deferred(&first, Some(600)), first);
        assert_eq!(deferred(&first, None), first);
        let shorter = deferred(&first, Some(10));
        let deadline = shorter.status.unwrap().cancellation.unwrap().deadline.unwrap();
        assert_eq!(deadline.0.to_string(), "2026-01-01T00:00:10Z");
    }

    #[test]
    fn grace_zero_waits_for_nobody() {
        for held in [WorkOrderPhase::Claimed, WorkOrderPhase::Running] {
            let next = deferred(&order(held), Some(0));
            assert_eq!(phase(&next), WorkOrderPhase::Cancelled);
            assert!(next.metadata.finalizers.is_none());
        }
    }
}
