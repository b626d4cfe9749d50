//! What is worth telling a person about the present state of an order.
//!
//! Pure, and from the state alone: an occurrence has the same identity in every replica and in every later
//! state that still shows it, so that it is told once without remembering what was before.

use brokkr_apis::work::v1alpha1::{Attempt, AttemptOutcome, WorkOrderPhase, WorkOrderStatus, conditions};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Something a person may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// Whether something may have to be done.
    pub(super) warning: bool,
    /// Why, in one word for machines.
    pub(super) reason: String,
    /// What was being done to the order.
    pub(super) action: &'static str,
    /// What happened, in a sentence.
    pub(super) message: String,
    /// When it happened.
    pub(super) at: Timestamp,
    /// What tells it from other occurrences at the same order.
    pub(super) identity: String,
}

/// All that the state shows, each occurrence with the same identity whenever it is shown.
pub(super) fn notices(status: &WorkOrderStatus) -> Vec<Notice> {
    if status.phase.is_terminal() {
        return end(status).into_iter().collect();
    }
    [last_attempt(status), unreachable(status), unschedulable(status)]
        .into_iter()
        .flatten()
        .collect()
}

/// The order has ended.
fn end(status: &WorkOrderStatus) -> Option<Notice> {
    let failure = condition(status, conditions::FAILED).map(|failed| failed.reason.as_str());
    let (warning, message) = match (status.phase, failure) {
        (WorkOrderPhase::Failed, Some(reason)) => (true, format!("{reason}: {}", status.message)),
        (WorkOrderPhase::Failed, None) => (true, status.message.clone()),
        _ => (false, status.message.clone()),
    };
    Some(Notice {
        warning,
        reason: status.phase.to_string(),
        action: "Finish",
        message,
        at: status.completion_time.as_ref()?.0,
        identity: "end".to_owned(),
    })
}

/// The last attempt has come to nothing, and the order waits for the next.
fn last_attempt(status: &WorkOrderStatus) -> Option<Notice> {
    let attempt = status.attempts.last()?;
    let at = attempt.ended_at.as_ref()?.0;
    let (reason, message) = match attempt.outcome? {
        AttemptOutcome::Lost => ("AgentLost", lost(attempt)),
        AttemptOutcome::Failed | AttemptOutcome::Unknown => ("AttemptFailed", failed(attempt, status)),
        AttemptOutcome::Succeeded | AttemptOutcome::Cancelled | AttemptOutcome::Released => return None,
    };
    Some(Notice {
        warning: true,
        reason: reason.to_owned(),
        action: "Run",
        message,
        at,
        identity: format!("attempt {}", attempt.number),
    })
}

fn lost(attempt: &Attempt) -> String {
    format!(
        "agent {} stopped renewing its claim during attempt {}; the order waits for another claim",
        attempt.agent, attempt.number
    )
}

fn failed(attempt: &Attempt, status: &WorkOrderStatus) -> String {
    let reason = attempt.reason.as_deref().unwrap_or("Unknown");
    let what = if attempt.message.is_empty() {
        String::new()
    } else {
        format!(": {}", attempt.message)
    };
    let when = status.next_retry_after.as_ref().map_or_else(
        || "another agent may claim the order now".to_owned(),
        |next| format!("the next attempt may start after {}", next.0),
    );
    format!(
        "attempt {} on agent {} failed with {reason}; {when}{what}",
        attempt.number, attempt.agent
    )
}

/// The holder of an order that must not run twice is silent.
fn unreachable(status: &WorkOrderStatus) -> Option<Notice> {
    let silent = condition(status, conditions::HOLDER_UNREACHABLE).filter(|one| one.status == "True")?;
    Some(warning_of(
        silent,
        "HolderUnreachable",
        "Renew",
        format!(
            "{}; release the claim by force if the agent will not come back",
            silent.message
        ),
    ))
}

/// No agent could take the order. That it is suspended or waits for its backoff is what was asked for.
fn unschedulable(status: &WorkOrderStatus) -> Option<Notice> {
    let obstacles = [
        conditions::NO_AGENT_TARGETED,
        conditions::WORK_TYPE_NOT_SERVED,
        conditions::AGENTS_AT_CAPACITY,
    ];
    let obstacle = condition(status, conditions::SCHEDULABLE)
        .filter(|one| one.status == "False" && obstacles.contains(&one.reason.as_str()))
        .filter(|_| status.phase == WorkOrderPhase::Pending)?;
    Some(warning_of(
        obstacle,
        &obstacle.reason,
        "Schedule",
        obstacle.message.clone(),
    ))
}

/// A condition that is bad, since when its status is so.
fn warning_of(condition: &Condition, reason: &str, action: &'static str, message: String) -> Notice {
    let at = condition.last_transition_time.0;
    let identity = format!("{reason} {at}");
    Notice {
        warning: true,
        reason: reason.to_owned(),
        action,
        message,
        at,
        identity,
    }
}

fn condition<'s>(status: &'s WorkOrderStatus, type_: &str) -> Option<&'s Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
}

#[cfg(test)]
mod tests {
    use brokkr_apis::work::v1alpha1::Fence;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn time(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn with(phase: WorkOrderPhase, conditions: &[(&str, &str, &str)]) -> WorkOrderStatus {
        let condition = |&(type_, status, reason): &(&str, &str, &str)| Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: "because".to_owned(),
            observed_generation: None,
            last_transition_time: time(7),
        };
        WorkOrderStatus {
            phase,
            message: "said".to_owned(),
            completion_time: phase.is_terminal().then(|| time(9)),
            conditions: conditions.iter().map(condition).collect(),
            ..WorkOrderStatus::default()
        }
    }

    fn attempted(phase: WorkOrderPhase, outcome: AttemptOutcome) -> WorkOrderStatus {
        let attempt = Attempt {
            number: 2,
            agent: "east".to_owned(),
            fence: Fence(5),
            ended_at: Some(time(8)),
            outcome: Some(outcome),
            reason: Some("TaskFailed".to_owned()),
            ..Attempt::default()
        };
        WorkOrderStatus {
            attempts: vec![attempt],
            ..with(phase, &[])
        }
    }

    fn told(status: &WorkOrderStatus) -> Vec<(bool, String)> {
        notices(status)
            .into_iter()
            .map(|notice| (notice.warning, notice.reason))
            .collect()
    }

    #[test]
    fn every_end_is_told_and_only_a_failure_is_a_warning() {
        let failed = with(WorkOrderPhase::Failed, &[("Failed", "True", "TaskFailed")]);
        assert_eq!(told(&failed), [(true, "Failed".to_owned())]);
        assert_eq!(notices(&failed)[0].message, "TaskFailed: said");
        for phase in [WorkOrderPhase::Succeeded, WorkOrderPhase::Cancelled] {
            assert_eq!(told(&with(phase, &[])), [(false, phase.to_string())]);
        }
    }

    #[test]
    fn a_failed_attempt_is_told_with_its_reason_and_when_it_is_tried_again() {
        let mut status = attempted(WorkOrderPhase::RetryPending, AttemptOutcome::Failed);
        status.next_retry_after = Some(time(60));
        let notice = notices(&status).remove(0);
        assert_eq!((notice.warning, notice.reason.as_str()), (true, "AttemptFailed"));
        assert!(notice.message.contains("TaskFailed") && notice.message.contains("1970-01-01T00:01:00Z"));
        // The backoff is over: the same occurrence.
        let later = attempted(WorkOrderPhase::Pending, AttemptOutcome::Failed);
        assert_eq!(notices(&later)[0].identity, notice.identity);
    }

    #[test]
    fn a_lost_agent_is_told_in_both_ways_of_losing_it() {
        let requeued = attempted(WorkOrderPhase::Pending, AttemptOutcome::Lost);
        assert_eq!(told(&requeued), [(true, "AgentLost".to_owned())]);
        let lapsed = with(
            WorkOrderPhase::Running,
            &[("HolderUnreachable", "True", "LeaseExpired")],
        );
        assert_eq!(told(&lapsed), [(true, "HolderUnreachable".to_owned())]);
    }

    #[test]
    fn an_order_nobody_can_take_is_told_but_not_what_was_asked_for() {
        for (reason, expected) in [
            ("NoAgentTargeted", 1),
            ("WorkTypeNotServed", 1),
            ("Suspended", 0),
            ("Backoff", 0),
        ] {
            let status = with(WorkOrderPhase::Pending, &[("Schedulable", "False", reason)]);
            assert_eq!(told(&status).len(), expected, "{reason}");
        }
        assert!(
            told(&with(
                WorkOrderPhase::Pending,
                &[("Schedulable", "True", "AgentAvailable")]
            ))
            .is_empty()
        );
    }

    #[test]
    fn what_goes_well_is_not_told() {
        let mut running = attempted(WorkOrderPhase::Running, AttemptOutcome::Succeeded);
        running.attempts[0].outcome = None;
        running.attempts[0].ended_at = None;
        assert!(told(&running).is_empty());
        assert!(told(&attempted(WorkOrderPhase::Pending, AttemptOutcome::Released)).is_empty());
    }
}
