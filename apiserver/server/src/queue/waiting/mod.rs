//! Why an order waits: the condition Schedulable of orders that nobody has claimed, looked at again every
//! few seconds.
//!
//! What the order itself says (suspended, backoff) is the state machine's; here it is the fleet: nobody
//! is targeted, nobody serves the type, or everybody has been busy for half a minute. Written as ordinary
//! updates, and never again while the reason stays the same; a busy fleet is noted once until the claim,
//! because a slot that is free for a moment says nothing about an order far back in the queue.

use std::sync::Arc;

use brokkr_apis::work::v1alpha1::{WorkOrder, WorkOrderPhase, conditions};
use generic_apiserver::object::Object;
use generic_apiserver::storage::{
    Freshness, Key, ObjectWrite, Storage, StorageError, Stored, Update, Writes,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Deserialize;

use crate::lifecycle::second;
use crate::registry::work_order::table::WORK_ORDERS;

/// How long a fleet has to be busy before anybody is told.
const BUSY_SECONDS: i64 = 30;

/// An order that waits, and the agents it waits for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    namespace: String,
    name: String,
    work_type: String,
    targeted: i64,
    serving: i64,
    free: i64,
    /// For how many seconds.
    waits: i64,
}

/// What the condition is to say.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    schedulable: bool,
    reason: &'static str,
    message: String,
}

/// Brings the condition of waiting orders up to date; gives how many were written.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn reconsider(storage: &Storage) -> Result<usize, StorageError> {
    let query = sqlx::query_scalar(include_str!("waiting.sql"));
    let rows: Vec<String> = query
        .fetch_all(storage.pool())
        .await
        .map_err(StorageError::from)?;
    let mut written = 0;
    for row in rows {
        let waiting: Waiting = serde_json::from_str(&row)
            .map_err(|error| StorageError::Corrupt(format!("row of a waiting order: {error}")))?;
        let key = Key::namespaced(waiting.namespace.clone(), waiting.name.clone());
        match storage.get(WORK_ORDERS, &key, Freshness::Any).await {
            Ok(stored) => written += usize::from(update(storage, stored, &waiting).await?),
            Err(StorageError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

async fn update(storage: &Storage, old: Arc<Stored>, waiting: &Waiting) -> Result<bool, StorageError> {
    let corrupt =
        |error: serde_json::Error| StorageError::Corrupt(format!("order {}: {error}", waiting.name));
    let mut order: WorkOrder = serde_json::from_slice(&old.encoded).map_err(corrupt)?;
    if !waiting.note(&mut order, Timestamp::now()) {
        return Ok(false);
    }
    let object = Object::from_typed(&order).map_err(corrupt)?;
    let object = ObjectWrite::Replace {
        resource: WORK_ORDERS,
        old,
        object,
    };
    match storage
        .update(Update {
            object,
            further: Writes::default(),
        })
        .await
    {
        Ok(_) => Ok(true),
        // Claimed or changed since: the next look sees it.
        Err(StorageError::Conflict { .. } | StorageError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

impl Waiting {
    /// Sets the condition if its reason has changed. The time of a condition is for people only, so the
    /// clock of this machine is good enough.
    fn note(&self, order: &mut WorkOrder, now: Timestamp) -> bool {
        let generation = order.metadata.generation;
        let Some(status) = order
            .status
            .as_mut()
            .filter(|status| status.phase == WorkOrderPhase::Pending)
        else {
            return false;
        };
        let present = status
            .conditions
            .iter()
            .position(|one| one.type_ == conditions::SCHEDULABLE);
        let reason = present.map(|index| status.conditions[index].reason.as_str());
        let Some(verdict) = self.verdict(reason) else {
            return false;
        };
        let word = if verdict.schedulable { "True" } else { "False" };
        let changed_at = match present.map(|index| &status.conditions[index]) {
            Some(present) if present.status == word => present.last_transition_time.clone(),
            _ => second(now),
        };
        let condition = Condition {
            type_: conditions::SCHEDULABLE.to_owned(),
            status: word.to_owned(),
            reason: verdict.reason.to_owned(),
            message: verdict.message,
            last_transition_time: changed_at,
            observed_generation: generation,
        };
        match present {
            Some(index) => status.conditions[index] = condition,
            None => status.conditions.push(condition),
        }
        true
    }

    /// What is to be said instead of `present`; `None` = nothing new.
    fn verdict(&self, present: Option<&str>) -> Option<Verdict> {
        let no = |reason, message| Verdict {
            schedulable: false,
            reason,
            message,
        };
        let work_type = &self.work_type;
        let verdict = if self.targeted == 0 {
            let message = "no agent matches spec.targets; give an agent the labels and annotations that a term asks for";
            no(conditions::NO_AGENT_TARGETED, message.to_owned())
        } else if self.serving == 0 {
            let targeted = self.targeted;
            let message = format!("none of the {targeted} targeted agents serves work type {work_type:?}");
            no(conditions::WORK_TYPE_NOT_SERVED, message)
        } else if present == Some(conditions::AGENTS_AT_CAPACITY)
            || (self.free == 0 && self.waits >= BUSY_SECONDS)
        {
            let serving = self.serving;
            let message = format!(
                "all {serving} targeted agents that serve work type {work_type:?} hold as many orders as they may, or are \
                 unschedulable"
            );
            no(conditions::AGENTS_AT_CAPACITY, message)
        } else {
            let message = "waiting to be claimed".to_owned();
            Verdict {
                schedulable: true,
                reason: conditions::AGENT_AVAILABLE,
                message,
            }
        };
        (present != Some(verdict.reason)).then_some(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(targeted: i64, serving: i64, free: i64, waits: i64) -> Waiting {
        let (namespace, name, work_type) = ("n".to_owned(), "o".to_owned(), "build".to_owned());
        Waiting {
            namespace,
            name,
            work_type,
            targeted,
            serving,
            free,
            waits,
        }
    }

    fn reason(waiting: &Waiting, present: Option<&str>) -> Option<&'static str> {
        waiting.verdict(present).map(|verdict| verdict.reason)
    }

    #[test]
    fn first_obstacle_is_named() {
        assert_eq!(reason(&waiting(0, 0, 0, 0), None), Some("NoAgentTargeted"));
        assert_eq!(reason(&waiting(2, 0, 0, 0), None), Some("WorkTypeNotServed"));
        assert_eq!(
            reason(&waiting(2, 1, 0, 31), Some("AgentAvailable")),
            Some("AgentsAtCapacity")
        );
        assert_eq!(
            reason(&waiting(2, 1, 1, 31), Some("NoAgentTargeted")),
            Some("AgentAvailable")
        );
    }

    #[test]
    fn busy_fleet_is_told_of_after_half_a_minute_and_once() {
        assert_eq!(reason(&waiting(1, 1, 0, 29), Some("AgentAvailable")), None);
        assert_eq!(reason(&waiting(1, 1, 0, 31), Some("AgentsAtCapacity")), None);
        assert_eq!(reason(&waiting(1, 1, 1, 40), Some("AgentsAtCapacity")), None);
    }
}
