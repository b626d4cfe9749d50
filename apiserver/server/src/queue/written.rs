//! Turns a transition of the state machine into writes: the object, its log entry, and the side rows.

use brokkr_apis::work::v1alpha1::{Attempt, Fence, WorkOrder, WorkOrderPhase};
use generic_apiserver::object::Object;
use generic_apiserver::storage::mutation::VersionedWrite;
use generic_apiserver::storage::{ObjectWrite, ResourceVersion, SideRow, StorageError, Versions};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;
use serde_json::json;

use super::digest;
use super::order::QueuedOrder;
use super::rows;
use crate::lifecycle::{self, Effect, Event, Moment, Transition};
use crate::registry::work_order::table::{WORK_ORDERS, table};
use crate::registry::work_order_log::table::WORK_ORDER_LOGS;

/// What the decisions of one batch write.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) objects: Vec<VersionedWrite>,
    pub(crate) rows: Vec<SideRow>,
}

/// One transition to be written.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) before: &'a QueuedOrder,
    pub(crate) event: &'a Event,
    pub(crate) transition: &'a Transition,
    /// The version of the object afterwards; a claim's fence.
    pub(crate) version: ResourceVersion,
    pub(crate) now: Timestamp,
    /// The answer to the report that ends the attempt, repeated when the report is.
    pub(crate) answer: Option<String>,
}

/// The moment of a decision; the jitter comes from the version, so that a decision depends on its
/// arguments alone.
pub(crate) fn moment(now: Timestamp, version: ResourceVersion) -> Moment {
    // A multiplicative hash spreads neighbouring versions over the range.
    let spread = version.get().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
    Moment {
        now,
        jitter: spread as f64 / f64::from(u16::MAX),
    }
}

impl Written {
    /// Writes a transition and returns the order afterwards.
    ///
    /// # Errors
    /// When the order cannot be encoded.
    pub(crate) fn step(
        &mut self,
        step: &Step<'_>,
        versions: &mut Versions,
    ) -> Result<WorkOrder, StorageError> {
        let mut after = step.before.order.clone();
        if step.transition.changes_object() {
            step.transition.apply(&mut after, step.event, step.now);
            after.metadata.resource_version = Some(step.version.to_string());
            self.write_object(step, &after)?;
            self.write_attempt(step, &after);
            self.write_log_entry(step, &after, versions)?;
        }
        for effect in &step.transition.effects {
            self.write_effect(effect, step, &after);
        }
        self.write_last_agent(step);
        Ok(after)
    }

    fn write_object(&mut self, step: &Step<'_>, after: &WorkOrder) -> Result<(), StorageError> {
        let goes = step.transition.effects.contains(&Effect::DeleteObject);
        let object = object_of(after)?;
        let old = step.before.stored.clone();
        let write = if goes
            && after
                .metadata
                .finalizers
                .as_deref()
                .is_none_or(<[String]>::is_empty)
        {
            // The last event shows how the order ended, not how it was before.
            let mut last = object;
            last.metadata.resource_version = Some(old.version.to_string());
            ObjectWrite::Delete {
                resource: WORK_ORDERS,
                old: table().stored(old.version, rows::text(&last))?,
            }
        } else {
            ObjectWrite::Replace {
                resource: WORK_ORDERS,
                old,
                object,
            }
        };
        self.objects.push(VersionedWrite {
            version: step.version,
            write,
        });
        Ok(())
    }

    /// The latest attempt, if it has changed. Earlier ones never change.
    fn write_attempt(&mut self, step: &Step<'_>, after: &WorkOrder) {
        let Some(attempt) = latest_attempt(after) else {
            return;
        };
        if !step.before.attempts.contains(attempt) {
            self.rows
                .push(attempt_row(step.before.uid(), attempt, step.answer.as_deref()));
        }
    }

    fn write_log_entry(
        &mut self,
        step: &Step<'_>,
        after: &WorkOrder,
        versions: &mut Versions,
    ) -> Result<(), StorageError> {
        let attempts = step.before.attempts_with(latest_attempt(after));
        if let Some((write, row)) = log_entry_writes(after, step.transition, attempts, step.now)? {
            self.rows.push(row);
            self.objects.push(VersionedWrite {
                version: versions.draw(),
                write,
            });
        }
        Ok(())
    }

    fn write_effect(&mut self, effect: &Effect, step: &Step<'_>, after: &WorkOrder) {
        let uid = step.before.uid();
        match effect {
            Effect::SetLease {
                agent,
                holder,
                fence,
                expires_at,
            } => {
                let row = json!({
                    "uid": uid, "fence": fence, "agent": agent, "holder": holder, "at": expires_at,
                    "attempt": step.transition.next.attempts_made, "keeps": must_not_run_twice(after),
                    "seconds": step.transition.next.claim.as_ref().map(|claim| claim.lease_seconds),
                });
                self.rows.push(rows::row(rows::SET_LEASE, row));
            }
            Effect::RenewLease { expires_at } => {
                self.rows.push(rows::row(
                    rows::RENEW_LEASE,
                    json!({"uid": uid, "at": expires_at}),
                ));
            }
            Effect::MarkLapsed => self
                .rows
                .push(rows::row(rows::MARK_LEASE, json!({"uid": uid, "lapsed": true}))),
            Effect::ClearLapsed => self
                .rows
                .push(rows::row(rows::MARK_LEASE, json!({"uid": uid, "lapsed": false}))),
            Effect::DropLease => self.rows.push(rows::order(rows::DROP_LEASE, uid)),
            Effect::SetCancelDeadline { at } => {
                self.rows.push(rows::row(
                    rows::SET_CANCEL_DEADLINE,
                    json!({"uid": uid, "at": at}),
                ));
            }
            Effect::RecordProgress => self.rows.push(rows::order(rows::MARK_PROGRESS, uid)),
            // In the object and its columns, or in the rows written above; turns and rings follow the batch.
            Effect::AttemptStarted { .. }
            | Effect::AttemptEnded(_)
            | Effect::ExcludeAgent { .. }
            | Effect::MakeClaimable
            | Effect::ScheduleRetry { .. }
            | Effect::RingHolder { .. }
            | Effect::RecordCancellation(_)
            | Effect::BeginDeletion
            | Effect::WriteLogEntry(_)
            | Effect::SetExpiry { .. }
            | Effect::DeleteObject => {}
        }
    }

    /// An order that is tried again remembers its last agent, and which agents not to ask.
    fn write_last_agent(&mut self, step: &Step<'_>) {
        let next = &step.transition.next;
        let again = matches!(next.phase, WorkOrderPhase::Pending | WorkOrderPhase::RetryPending);
        let claim = step
            .before
            .order
            .status
            .as_ref()
            .and_then(|status| status.claim.as_ref());
        if let Some(claim) = claim.filter(|_| again && next.claim.is_none()) {
            let excluded = step
                .transition
                .effects
                .iter()
                .any(|effect| matches!(effect, Effect::ExcludeAgent { .. }));
            let row = json!({"uid": step.before.uid(), "agent": claim.agent, "excluded": excluded});
            self.rows.push(rows::row(rows::SET_LAST_AGENT, row));
        }
    }
}

/// The row of an attempt as it now is. `answer` is the one to the report that ended it.
pub(crate) fn attempt_row(uid: &str, attempt: &Attempt, answer: Option<&str>) -> SideRow {
    let time = |time: &Option<Time>| time.as_ref().map(|time| time.0);
    let row = json!({
        "uid": uid, "attempt": attempt.number, "agent": attempt.agent, "holder": attempt.holder,
        "fence": attempt.fence, "claimed_at": time(&attempt.claimed_at), "ended_at": time(&attempt.ended_at),
        "outcome": attempt.outcome, "object": rows::text(attempt), "answer": answer,
    });
    rows::row(rows::SET_ATTEMPT, row)
}

/// The log entry of an order that has just ended, and the row that says so; `None` for any other transition.
/// `after` is the order after the transition, `attempts` are all that it had.
///
/// # Errors
/// When the entry cannot be encoded.
pub(crate) fn log_entry_writes(
    after: &WorkOrder,
    transition: &Transition,
    attempts: Vec<Attempt>,
    now: Timestamp,
) -> Result<Option<(ObjectWrite, SideRow)>, StorageError> {
    let Some(mut entry) = lifecycle::log_entry(after, transition, attempts, now) else {
        return Ok(None);
    };
    let uid = after.metadata.uid.as_deref().unwrap_or_default();
    entry.metadata.uid = Some(digest::uid_from(&format!("log entry of {uid}")));
    entry.metadata.creation_timestamp = entry
        .status
        .as_ref()
        .and_then(|status| status.completion_time.clone());
    let row = json!({
        "uid": uid, "log_name": entry.metadata.name,
        "at": entry.metadata.creation_timestamp.as_ref().map(|time| time.0),
    });
    let write = ObjectWrite::Create {
        resource: WORK_ORDER_LOGS,
        object: object_of(&entry)?,
    };
    Ok(Some((write, rows::row(rows::SET_LOGGED, row))))
}

/// Whether the claim outlives its lease.
fn must_not_run_twice(order: &WorkOrder) -> bool {
    use brokkr_apis::work::v1alpha1::SideEffects;
    !matches!(
        order.spec.side_effects_or_default(),
        SideEffects::None | SideEffects::Idempotent
    )
}

fn latest_attempt(order: &WorkOrder) -> Option<&Attempt> {
    order.status.as_ref()?.attempts.last()
}

fn object_of(typed: &impl Serialize) -> Result<Object, StorageError> {
    Object::from_typed(typed)
        .map_err(|error| StorageError::Corrupt(format!("object cannot be encoded: {error}")))
}

/// The fence that a version becomes.
pub(crate) const fn fence(version: ResourceVersion) -> Fence {
    Fence(version.as_i64())
}
