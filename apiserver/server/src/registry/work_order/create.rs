//! Creation: a fresh status, who could take the order, and what its idempotency key means.

use brokkr_apis::work::v1alpha1::{
    LogOutcome, WorkOrder, WorkOrderLog, WorkOrderPhase, WorkOrderStatus, conditions,
};
use generic_apiserver::registry::{RegistryError, RequestContext};
use generic_apiserver::storage::Storage;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::idempotency::{self, KeyUse};
use super::roster::Roster;
use super::schedulable;
use crate::lifecycle::second;
use crate::queue::Namespaces;

/// A status as no client can set it.
pub(super) fn prepare(user: &str, order: &mut WorkOrder) {
    order.status = Some(WorkOrderStatus {
        observed_generation: order.metadata.generation,
        created_by: Some(user.to_owned()),
        ..WorkOrderStatus::default()
    });
}

/// Notes which namespace of its name the order is in.
pub(super) async fn bind(namespaces: &dyn Namespaces, order: &mut WorkOrder) -> Result<(), RegistryError> {
    let namespace = order.metadata.namespace.clone().unwrap_or_default();
    let uid = namespaces.uid(&namespace).await?;
    let absent = || RegistryError::NotFound {
        group: String::new(),
        resource: "namespaces".to_owned(),
        name: namespace,
    };
    order.status.get_or_insert_default().namespace_uid = Some(uid.ok_or_else(absent)?);
    Ok(())
}

/// What the client is told about a new order.
pub(super) fn warnings(order: &WorkOrder) -> Vec<String> {
    let gone_at_once = order.spec.ttl_seconds() == Some(0);
    let text = "spec.ttlSecondsAfterFinished is 0: the order disappears the moment it finishes, so that kubectl wait \
                does not find it; its WorkOrderLog entry is kept";
    gone_at_once.then(|| text.to_owned()).into_iter().collect()
}

/// Finds out whether the order runs, and who could take it.
pub(super) async fn admit(
    storage: &Storage,
    roster: &Roster,
    ctx: &RequestContext,
    order: &mut WorkOrder,
) -> Result<(), RegistryError> {
    if let Some(key) = idempotency::key_of(&order.spec)
        && let KeyUse::Done(entry, now) = idempotency::look_up(storage, order, key).await?
    {
        ctx.warn(format!(
            "not run again: the work of {} was done before",
            entry_name(&entry)
        ));
        finish(order, &entry, now);
        return Ok(());
    }
    let agents = roster.agents().await?;
    let targeted = schedulable::targeted(&order.spec, &agents);
    let verdict = schedulable::verdict(&order.spec, agents.len(), &targeted);
    let shown = schedulable::targeted_agents(&targeted);
    let condition = (conditions::SCHEDULABLE, verdict.schedulable, verdict.reason);
    set_condition(order, condition, &verdict.message, Timestamp::now());
    let status = order.status.get_or_insert_default();
    status.targeted_agents = Some(shown);
    status.message = verdict.message;
    Ok(())
}

/// Stores the order as finished, with the outcome of the entry; nothing runs.
fn finish(order: &mut WorkOrder, entry: &WorkOrderLog, now: Timestamp) {
    let outcome = entry.status.clone().unwrap_or_default();
    let (phase, condition) = match outcome.outcome {
        LogOutcome::Succeeded => (
            WorkOrderPhase::Succeeded,
            (conditions::COMPLETE, true, conditions::SUCCEEDED),
        ),
        LogOutcome::Failed => (
            WorkOrderPhase::Failed,
            (conditions::FAILED, true, outcome.reason.as_str()),
        ),
        LogOutcome::Cancelled => (
            WorkOrderPhase::Cancelled,
            (conditions::FAILED, true, outcome.reason.as_str()),
        ),
    };
    let message = format!(
        "not run: order {:?} with the same idempotencyKey has finished before ({}): {}",
        entry.spec.order_name,
        entry_name(entry),
        outcome.message
    );
    set_condition(order, condition, &message, now);
    let status = order.status.get_or_insert_default();
    status.phase = phase;
    status.completion_time = Some(second(now));
    status.log_name.clone_from(&entry.metadata.name);
    status.results.clone_from(&outcome.results);
    status.message = message;
}

fn entry_name(entry: &WorkOrderLog) -> String {
    format!(
        "WorkOrderLog {:?}",
        entry.metadata.name.as_deref().unwrap_or_default()
    )
}

/// Adds a condition to a status that has none of its type.
fn set_condition(
    order: &mut WorkOrder,
    (type_, status, reason): (&str, bool, &str),
    message: &str,
    now: Timestamp,
) {
    let condition = Condition {
        type_: type_.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: order.metadata.generation,
        last_transition_time: second(now),
    };
    order.status.get_or_insert_default().conditions.push(condition);
}

#[cfg(test)]
mod tests {
    use brokkr_apis::work::v1alpha1::{WorkOrderLogStatus, WorkOrderSpec};

    use super::*;

    fn order() -> WorkOrder {
        let spec = WorkOrderSpec {
            work_type: "build".to_owned(),
            ..WorkOrderSpec::default()
        };
        let mut order = WorkOrder::new("b", spec);
        order.metadata.generation = Some(1);
        order
    }

    #[test]
    fn a_status_of_the_client_is_dropped() {
        let mut order = order();
        let forged = WorkOrderStatus {
            phase: WorkOrderPhase::Succeeded,
            ..WorkOrderStatus::default()
        };
        order.status = Some(forged);
        prepare("eve", &mut order);
        let status = order.status.unwrap();
        assert_eq!(status.phase, WorkOrderPhase::Pending);
        assert_eq!(status.created_by.as_deref(), Some("eve"));
        assert_eq!(status.observed_generation, Some(1));
    }

    #[test]
    fn work_done_before_is_shown_with_its_outcome() {
        let now: Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
        for (outcome, phase, type_) in [
            (LogOutcome::Succeeded, WorkOrderPhase::Succeeded, "Complete"),
            (LogOutcome::Failed, WorkOrderPhase::Failed, "Failed"),
            (LogOutcome::Cancelled, WorkOrderPhase::Cancelled, "Failed"),
        ] {
            let mut entry = WorkOrderLog::default();
            entry.metadata.name = Some("a-1".to_owned());
            entry.spec.order_name = "a".to_owned();
            entry.status = Some(WorkOrderLogStatus {
                outcome,
                message: "done".to_owned(),
                ..WorkOrderLogStatus::default()
            });
            let mut order = order();
            prepare("eve", &mut order);
            finish(&mut order, &entry, now);
            let status = order.status.unwrap();
            assert_eq!((status.phase, status.log_name.as_deref()), (phase, Some("a-1")));
            assert_eq!(
                status.completion_time.unwrap().0.to_string(),
                "2026-01-01T00:00:00Z"
            );
            assert_eq!(status.conditions[0].type_, type_);
            assert!(status.message.ends_with(": done"), "{}", status.message);
        }
    }

    #[test]
    fn nobody_can_wait_for_an_order_that_goes_at_once() {
        let mut order = order();
        assert!(warnings(&order).is_empty());
        order.spec.ttl_seconds_after_finished = Some(0);
        assert!(warnings(&order)[0].contains("kubectl wait"));
    }
}
