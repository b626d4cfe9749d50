//! The conditions of an order after a transition.
//!
//! Whether any agent is targeted, serves the type and has room is found out elsewhere; here Schedulable changes only
//! for what the order itself says (suspended, waiting for its backoff), and back when that is over.

use brokkr_apis::work::v1alpha1::conditions as types;
use brokkr_apis::work::v1alpha1::{WorkOrderPhase, WorkOrderStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::apply::second;
use super::{State, Transition};

/// A condition to be set.
struct Setting<'a> {
    type_: &'a str,
    status: bool,
    reason: &'a str,
    message: String,
}

/// Sets every condition the transition bears on.
pub(super) fn set_conditions(
    transition: &Transition,
    status: &mut WorkOrderStatus,
    generation: Option<i64>,
    now: Timestamp,
) {
    let next = &transition.next;
    let mut settings: Vec<Setting<'_>> = Vec::new();
    settings.extend(schedulable(next, status));
    settings.extend(claimed(next, status));
    settings.extend(holder_unreachable(next, status));
    let message = status.message.clone();
    if let Some(entry) = transition.log_entry() {
        let succeeded = next.phase == WorkOrderPhase::Succeeded;
        let (type_, reason) = if succeeded {
            (types::COMPLETE, types::SUCCEEDED)
        } else {
            (types::FAILED, entry.reason.as_str())
        };
        settings.push(Setting {
            type_,
            status: true,
            reason,
            message,
        });
    }
    for setting in settings {
        set(&mut status.conditions, setting, generation, now);
    }
}

fn schedulable(next: &State, status: &WorkOrderStatus) -> Option<Setting<'static>> {
    let setting = |status, reason, message: String| {
        Some(Setting {
            type_: types::SCHEDULABLE,
            status,
            reason,
            message,
        })
    };
    let before = find(status, types::SCHEDULABLE).map(|condition| condition.reason.as_str());
    match next.phase {
        WorkOrderPhase::Pending if next.suspended => {
            setting(false, types::SUSPENDED, "spec.suspend is true".to_owned())
        }
        WorkOrderPhase::Pending if matches!(before, Some(types::SUSPENDED | types::BACKOFF)) => {
            setting(true, types::AGENT_AVAILABLE, "waiting to be claimed".to_owned())
        }
        WorkOrderPhase::Claimed if before.is_some_and(|reason| reason != types::AGENT_AVAILABLE) => setting(
            true,
            types::AGENT_AVAILABLE,
            "an agent has claimed the order".to_owned(),
        ),
        WorkOrderPhase::RetryPending => {
            let until = next.next_retry_after.map(|until| second(until).0);
            let message = until.map(|until| format!("the next attempt may start after {until}"));
            setting(false, types::BACKOFF, message.unwrap_or_default())
        }
        WorkOrderPhase::Pending
        | WorkOrderPhase::Claimed
        | WorkOrderPhase::Running
        | WorkOrderPhase::Cancelling
        | WorkOrderPhase::Succeeded
        | WorkOrderPhase::Failed
        | WorkOrderPhase::Cancelled => None,
    }
}

fn claimed(next: &State, status: &WorkOrderStatus) -> Option<Setting<'static>> {
    let setting = |status, reason, message: String| Setting {
        type_: types::CLAIMED,
        status,
        reason,
        message,
    };
    if let Some(claim) = &next.claim {
        return Some(setting(
            true,
            types::HELD,
            format!("held by agent {}", claim.agent),
        ));
    }
    find(status, types::CLAIMED)?;
    Some(if next.phase.is_terminal() {
        setting(false, types::FINISHED, "the order has finished".to_owned())
    } else {
        setting(false, types::REQUEUED, "no agent holds the order".to_owned())
    })
}

fn holder_unreachable(next: &State, status: &WorkOrderStatus) -> Option<Setting<'static>> {
    let setting = |status, reason, message: String| {
        Some(Setting {
            type_: types::HOLDER_UNREACHABLE,
            status,
            reason,
            message,
        })
    };
    match &next.claim {
        Some(claim) if claim.lapsed => {
            let message = format!(
                "agent {} has stopped renewing its claim; the order must not run twice",
                claim.agent
            );
            setting(true, types::LEASE_EXPIRED, message)
        }
        _ if find(status, types::HOLDER_UNREACHABLE).is_none() => None,
        Some(claim) => setting(
            false,
            types::RENEWED,
            format!("agent {} renews its claim", claim.agent),
        ),
        None => setting(false, types::REQUEUED, "no agent holds the order".to_owned()),
    }
}

fn find<'s>(status: &'s WorkOrderStatus, type_: &str) -> Option<&'s Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
}

/// Sets one condition; its transition time moves only when its status does.
fn set(conditions: &mut Vec<Condition>, setting: Setting<'_>, generation: Option<i64>, now: Timestamp) {
    let condition = Condition {
        type_: setting.type_.to_owned(),
        status: if setting.status { "True" } else { "False" }.to_owned(),
        reason: setting.reason.to_owned(),
        message: setting.message,
        observed_generation: generation,
        last_transition_time: second(now),
    };
    match conditions.iter_mut().find(|known| known.type_ == condition.type_) {
        Some(known) if known.status == condition.status => {
            let last_transition_time = known.last_transition_time.clone();
            *known = Condition {
                last_transition_time,
                ..condition
            };
        }
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}
