//! The entry a finished order leaves behind.

use brokkr_apis::work::v1alpha1::{
    Attempt, COMPLETED_AT_LABEL, LogOutcome, WorkOrder, WorkOrderLog, WorkOrderLogSpec, WorkOrderLogStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;

use super::apply::second;
use super::{LogEntry, Transition};

/// How much of an order's name an entry's name keeps: with a dash and 16 digits, 253 bytes are full.
const NAME_BYTES_MAX: usize = 236;
const UID_DIGITS: usize = 16;

/// The name of the entry of an order: the order's name, cut to fit, and the first 16 hex digits of its uid.
pub fn log_name(order_name: &str, uid: &str) -> String {
    // Names are ASCII; a cut inside a longer character would only shorten it further.
    let end = (0..=order_name.len().min(NAME_BYTES_MAX))
        .rev()
        .find(|end| order_name.is_char_boundary(*end));
    let kept = order_name[..end.unwrap_or(0)].trim_end_matches(['-', '.']);
    let digits: String = uid
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(UID_DIGITS)
        .collect();
    format!("{kept}-{digits}")
}

/// The entry to write for an order that has just ended; None for any other transition.
///
/// `order` is the object after the transition was applied to it. `attempts` are all its attempts, the last one included;
/// the status remembers only the latest.
pub fn log_entry(
    order: &WorkOrder,
    transition: &Transition,
    attempts: Vec<Attempt>,
    now: Timestamp,
) -> Option<WorkOrderLog> {
    let entry = transition.log_entry()?;
    let order_name = order.metadata.name.clone().unwrap_or_default();
    let order_uid = order.metadata.uid.clone().unwrap_or_default();
    let mut labels = order.metadata.labels.clone().unwrap_or_default();
    let spec = WorkOrderLogSpec {
        created_at: order.metadata.creation_timestamp.clone(),
        created_by: order.status.as_ref().and_then(|status| status.created_by.clone()),
        namespace_uid: order
            .status
            .as_ref()
            .and_then(|status| status.namespace_uid.clone()),
        labels: labels.clone(),
        order: order.spec.clone(),
        order_name: order_name.clone(),
        order_uid: order_uid.clone(),
    };
    labels.insert(COMPLETED_AT_LABEL.to_owned(), now.as_second().to_string());
    let metadata = ObjectMeta {
        name: Some(log_name(&order_name, &order_uid)),
        namespace: order.metadata.namespace.clone(),
        labels: Some(labels),
        ..ObjectMeta::default()
    };
    let status = Some(log_status(order, entry, transition, attempts, now));
    Some(WorkOrderLog {
        metadata,
        spec,
        status,
        ..WorkOrderLog::default()
    })
}

fn log_status(
    order: &WorkOrder,
    entry: &LogEntry,
    transition: &Transition,
    attempts: Vec<Attempt>,
    now: Timestamp,
) -> WorkOrderLogStatus {
    let status = order.status.clone().unwrap_or_default();
    let duration = status
        .start_time
        .as_ref()
        .map_or(0, |start| now.as_second() - start.0.as_second());
    WorkOrderLogStatus {
        outcome: entry.outcome,
        success: entry.outcome == LogOutcome::Succeeded,
        outcome_unknown: entry.outcome_unknown,
        class: entry.class,
        reason: entry.reason.clone(),
        message: status.message,
        agent: attempts
            .last()
            .map(|attempt| attempt.agent.clone())
            .unwrap_or_default(),
        start_time: status.start_time,
        completion_time: Some(second(now)),
        duration_seconds: duration.max(0),
        retry_count: transition.next.retry_count,
        lost_attempts: transition.next.lost_attempts,
        cancellation: status.cancellation,
        results: status.results,
        attempts,
    }
}
