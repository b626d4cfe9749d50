//! Turns a transition of the state machine into writes: the object, its log entry, and the side rows.

use brokkr_apis::work::v1alpha1::{Attempt, Fence, WorkOrder, WorkOrderPhase};
use generic_apiserver::mutant;
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
use crate::lifecycle::{self, Effect, Event, Moment, Transition, transition};
use crate::registry::work_order::table::WORK_ORDERS;
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

/// What a user has changed in an order, and what it asks for.
#[derive(Debug)]
pub(crate) struct UserChange<'a> {
    pub(crate) before: &'a QueuedOrder,
    /// The order with the user's changes, but with the status of before.
    pub(crate) wanted: &'a WorkOrder,
    /// What the change asks for, in the order in which it happens.
    pub(crate) events: &'a [Event],
    pub(crate) now: Timestamp,
}

impl UserChange<'_> {
    /// Applies the events one after the other. What is refused because the order has moved on changes nothing.
    fn apply(&self, after: &mut WorkOrder, at: Moment) -> Vec<Transition> {
        let mut state = self.before.state().under_spec_of(self.wanted);
        let mut steps = Vec::new();
        for event in self.events {
            let Ok(step) = transition(&state, event, at) else {
                continue;
            };
            if step.changes_object() {
                step.apply(after, event, at.now);
            }
            state.clone_from(&step.next);
            steps.push(step);
        }
        steps
    }
}

/// The moment of a decision; the jitter comes from the version, so that a decision depends on its
/// arguments alone.
pub(crate) fn moment(now: Timestamp, version: ResourceVersion) -> Moment {
    // A multiplicative hash spreads neighbouring versions over the range.
    let now = if mutant!("i8-decided-by-the-clock-of-the-replica") {
        Timestamp::now()
    } else {
        now
    };
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
            self.write_object(step.before, &after, step.version)?;
            self.write_attempt(step.before, &after, step.answer.as_deref());
            self.write_log_entry(step.before, &after, step.transition, step.now, versions)?;
        }
        self.write_effects(step.transition, &after);
        self.write_last_agent(step);
        Ok(after)
    }

    /// Writes what a user has changed, and everything that follows from it; gives the order afterwards, or `None`
    /// when nothing has changed.
    ///
    /// # Errors
    /// When the order cannot be encoded.
    pub(crate) fn change(
        &mut self,
        change: &UserChange<'_>,
        versions: &mut Versions,
    ) -> Result<Option<WorkOrder>, StorageError> {
        let version = versions.draw();
        let mut after = change.wanted.clone();
        let steps = change.apply(&mut after, moment(change.now, version));
        if after == change.before.order {
            return Ok(None);
        }
        after.metadata.resource_version = Some(version.to_string());
        self.write_object(change.before, &after, version)?;
        self.write_attempt(change.before, &after, None);
        for step in &steps {
            self.write_log_entry(change.before, &after, step, change.now, versions)?;
            self.write_effects(step, &after);
        }
        Ok(Some(after))
    }

    fn write_object(
        &mut self,
        before: &QueuedOrder,
        after: &WorkOrder,
        version: ResourceVersion,
    ) -> Result<(), StorageError> {
        let (resource, old, object) = (WORK_ORDERS, before.stored.clone(), object_of(after)?);
        let write = if is_released(after) {
            // The last event shows how the order ended, not how it was before.
            let last = Some(object);
            ObjectWrite::Delete { resource, old, last }
        } else {
            ObjectWrite::Replace {
                resource,
                old,
                object,
            }
        };
        self.objects.push(VersionedWrite { version, write });
        Ok(())
    }

    /// The latest attempt, if it has changed. Earlier ones never change.
    fn write_attempt(&mut self, before: &QueuedOrder, after: &WorkOrder, answer: Option<&str>) {
        let Some(attempt) = latest_attempt(after) else {
            return;
        };
        if !before.attempts.contains(attempt) {
            self.rows.push(attempt_row(before.uid(), attempt, answer));
        }
    }

    fn write_log_entry(
        &mut self,
        before: &QueuedOrder,
        after: &WorkOrder,
        transition: &Transition,
        now: Timestamp,
        versions: &mut Versions,
    ) -> Result<(), StorageError> {
        if mutant!("i5-entry-left-out") {
            return Ok(());
        }
        let attempts = if mutant!("i5-entry-without-early-attempts") {
            after.status.clone().unwrap_or_default().attempts
        } else {
            before.attempts_with(latest_attempt(after))
        };
        if let Some((write, row)) = log_entry_writes(after, transition, attempts, now)? {
            self.rows.push(row);
            self.objects.push(VersionedWrite {
                version: versions.draw(),
                write,
            });
        }
        Ok(())
    }

    fn write_effects(&mut self, transition: &Transition, after: &WorkOrder) {
        for effect in &transition.effects {
            self.write_effect(effect, transition, after);
        }
    }

    fn write_effect(&mut self, effect: &Effect, transition: &Transition, after: &WorkOrder) {
        let uid = after.metadata.uid.as_deref().unwrap_or_default();
        match effect {
            Effect::SetLease {
                agent,
                holder,
                fence,
                expires_at,
            } => {
                let row = json!({
                    "uid": uid, "fence": fence, "agent": agent, "holder": holder, "at": expires_at,
                    "attempt": transition.next.attempts_made, "keeps": must_not_run_twice(after),
                    "seconds": transition.next.claim.as_ref().map(|claim| claim.lease_seconds),
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
fn attempt_row(uid: &str, attempt: &Attempt, answer: Option<&str>) -> SideRow {
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
fn log_entry_writes(
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

/// Whether nothing holds a deleted order any more.
fn is_released(order: &WorkOrder) -> bool {
    let metadata = &order.metadata;
    metadata.deletion_timestamp.is_some() && metadata.finalizers.as_ref().is_none_or(Vec::is_empty)
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

pub(super) fn object_of(typed: &impl Serialize) -> Result<Object, StorageError> {
    Object::from_typed(typed)
        .map_err(|error| StorageError::Corrupt(format!("object cannot be encoded: {error}")))
}

/// The fence that a version becomes.
pub(crate) const fn fence(version: ResourceVersion) -> Fence {
    Fence(version.as_i64())
}
