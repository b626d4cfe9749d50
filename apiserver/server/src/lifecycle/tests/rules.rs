//! The rules that a table of phases and events cannot show: budgets, side effects, namespaces, times.

use brokkr_apis::work::v1alpha1::WorkOrderPhase::{
    Cancelling, Claimed, Failed, Pending, RetryPending, Running, Succeeded,
};
use brokkr_apis::work::v1alpha1::reasons::{
    AGENT_LOST, EVICTED, FORBIDDEN, IMAGE_PUSH_FAILED, INVALID_IMAGE, NAMESPACE_TERMINATING, TIMEOUT,
};
use brokkr_apis::work::v1alpha1::{AttemptOutcome, CompletionOutcome, FailureClass};
use k8s_openapi::jiff::SignedDuration;

use super::fixtures::*;
use crate::lifecycle::{
    AttemptEnd, Effect, Event, LogEntry, Moment, Refusal, State, Transition, backoff, transition,
};

pub(super) fn entry(step: &Transition) -> LogEntry {
    step.log_entry()
        .cloned()
        .unwrap_or_else(|| panic!("no log entry: {step:?}"))
}

pub(super) fn attempt_end(step: &Transition) -> AttemptEnd {
    let found = step.effects.iter().find_map(|effect| match effect {
        Effect::AttemptEnded(attempt_end) => Some(attempt_end.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no attempt ended: {step:?}"))
}

#[test]
fn the_first_waits_are_60_120_and_240_seconds() {
    for (retry_count, expected) in [(0, 60), (1, 120), (2, 240), (6, 3600), (25, 3600), (1000, 3600)] {
        let state = State {
            retry_count,
            ..state(Running)
        };
        assert_eq!(
            backoff(&state, 0.0),
            SignedDuration::from_secs(expected),
            "{retry_count}"
        );
    }
}

#[test]
fn jitter_adds_up_to_a_tenth_and_never_takes_away() {
    let state = state(Running);
    assert_eq!(backoff(&state, 1.0), SignedDuration::from_secs(66));
    assert_eq!(backoff(&state, 0.5), SignedDuration::from_secs(63));
    for nonsense in [-1.0, f64::NAN, f64::INFINITY] {
        let wait = backoff(&state, nonsense);
        assert!((60..=66).contains(&wait.as_secs()), "{nonsense}: {wait}");
    }
}

#[test]
fn a_retryable_failure_is_charged_and_waits() {
    let step = accepted(&state(Running), &failed(IMAGE_PUSH_FAILED), 10);
    assert_eq!((step.next.retry_count, step.next.lost_attempts), (1, 0));
    assert_eq!(step.next.next_retry_after, Some(time(70)));
    assert_eq!(attempt_end(&step).rule, Some("Table"));
}

#[test]
fn the_fourth_failure_of_three_retries_is_the_last() {
    let spent = State {
        retry_count: 3,
        ..state(Running)
    };
    let step = accepted(&spent, &failed(IMAGE_PUSH_FAILED), 10);
    assert_eq!(step.phase(), Failed);
    let entry = entry(&step);
    assert_eq!(
        (entry.class, entry.reason.as_str()),
        (Some(FailureClass::Retryable), IMAGE_PUSH_FAILED)
    );
    assert!(!entry.outcome_unknown);
}

#[test]
fn an_eviction_is_charged_to_the_lost_attempts() {
    let step = accepted(&state(Running), &failed(EVICTED), 10);
    assert_eq!(
        (step.phase(), step.next.retry_count, step.next.lost_attempts),
        (RetryPending, 0, 1)
    );
    let spent = State {
        lost_attempts: 3,
        ..state(Running)
    };
    assert_eq!(accepted(&spent, &failed(EVICTED), 10).phase(), Failed);
}

#[test]
fn a_lost_agent_is_charged_to_the_lost_attempts_up_to_the_limit() {
    let lost = Event::LeaseLost { fence: FENCE };
    let step = accepted(&state(Running), &lost, 61);
    assert_eq!(
        (step.phase(), step.next.retry_count, step.next.lost_attempts),
        (Pending, 0, 1)
    );
    assert_eq!(attempt_end(&step).outcome, AttemptOutcome::Lost);
    let spent = State {
        lost_attempts: 3,
        ..state(Running)
    };
    let step = accepted(&spent, &lost, 61);
    assert_eq!((step.phase(), entry(&step).reason.as_str()), (Failed, AGENT_LOST));
    assert!(entry(&step).outcome_unknown);
}

#[test]
fn work_that_must_not_run_twice_waits_for_its_holder() {
    for phase in [Claimed, Running, Cancelling] {
        let step = accepted(&harmful(phase), &Event::LeaseLost { fence: FENCE }, 61);
        assert_eq!(
            (step.phase(), &step.effects[..]),
            (phase, &[Effect::MarkLapsed][..])
        );
        assert_eq!(
            outcome(&step.next, &Event::LeaseLost { fence: FENCE }, 62),
            "!Superseded"
        );

        let other = transition(&step.next, &claim_by("edge-2", "x", false), at(62)).unwrap_err();
        assert_eq!(
            other,
            Refusal::Held {
                agent: "edge-1".to_owned(),
                until: Some(time(3600))
            }
        );

        let back = accepted(&step.next, &Event::Renewed { fence: FENCE }, 63);
        assert!(back.effects.contains(&Effect::ClearLapsed) && !back.next.claim.unwrap().lapsed);

        let restarted = accepted(&step.next, &claim_by("edge-1", "new", true), 63);
        assert!(restarted.effects.contains(&Effect::ClearLapsed));

        let done = accepted(&step.next, &succeeded(FENCE), 64);
        assert_eq!(done.phase(), Succeeded);
    }
}

#[test]
fn a_lapsed_order_fails_at_its_cap_with_an_unknown_outcome() {
    let lapsed = accepted(&harmful(Running), &Event::LeaseLost { fence: FENCE }, 61).next;
    let step = accepted(&lapsed, &Event::AttemptCapReached, 3600);
    let entry = entry(&step);
    assert_eq!(
        (step.phase(), entry.reason.as_str(), entry.outcome_unknown),
        (Failed, AGENT_LOST, true)
    );
}

#[test]
fn the_cap_of_an_attempt_is_a_timeout_nobody_saw() {
    let step = accepted(&state(Running), &Event::AttemptCapReached, 3600);
    let attempt = attempt_end(&step);
    assert_eq!(
        (attempt.outcome, attempt.reason.as_deref()),
        (AttemptOutcome::Unknown, Some(TIMEOUT))
    );
    assert_eq!((step.phase(), step.next.retry_count), (RetryPending, 1));
    let step = accepted(&harmful(Running), &Event::AttemptCapReached, 3600);
    assert_eq!(attempt_end(&step).rule, Some("RunMayBeAlive"));
    assert_eq!((step.phase(), entry(&step).outcome_unknown), (Failed, true));
}

#[test]
fn a_running_order_that_must_not_run_twice_is_not_given_back() {
    assert_eq!(
        outcome(&harmful(Running), &released(Some(FENCE), false), 10),
        "!ExecutionStarted"
    );
    assert_eq!(
        accepted(&harmful(Claimed), &released(Some(FENCE), false), 10).phase(),
        Pending
    );
    let forced = accepted(&harmful(Running), &released(None, true), 10);
    assert_eq!(
        (forced.phase(), attempt_end(&forced).rule),
        (Pending, Some("ForcedRelease"))
    );
    assert!(attempt_end(&forced).reason.unwrap().contains("bob"));
}

#[test]
fn a_failure_of_the_agents_cluster_goes_to_another_agent_uncharged() {
    let mut report = report(FENCE, CompletionOutcome::Failed, FORBIDDEN);
    report.execution_started = Some(false);
    let event = Event::Completed(Box::new(report));
    let others = State {
        another_agent_targeted: true,
        ..harmful(Claimed)
    };
    let step = accepted(&others, &event, 10);
    assert_eq!(
        (step.phase(), step.next.retry_count, step.next.lost_attempts),
        (Pending, 0, 0)
    );
    assert!(step.effects.contains(&Effect::ExcludeAgent {
        agent: "edge-1".to_owned()
    }));
    assert_eq!(
        accepted(&harmful(Claimed), &event, 10).phase(),
        Failed,
        "nobody else is targeted"
    );
}

#[test]
fn nothing_is_claimed_or_requeued_in_a_terminating_namespace() {
    let terminating = |phase| State {
        namespace_terminating: true,
        ..state(phase)
    };
    assert_eq!(
        outcome(&terminating(Pending), &claim_by("edge-2", "x", false), 10),
        "!NamespaceTerminating"
    );
    for event in [
        failed(IMAGE_PUSH_FAILED),
        failed(INVALID_IMAGE),
        released(Some(FENCE), false),
        released(None, true),
        Event::LeaseLost { fence: FENCE },
    ] {
        let step = accepted(&terminating(Running), &event, 10);
        assert_eq!(
            (step.phase(), entry(&step).reason.as_str()),
            (Failed, NAMESPACE_TERMINATING),
            "{event:?}"
        );
    }
    assert_eq!(
        accepted(&terminating(Running), &succeeded(FENCE), 10).phase(),
        Succeeded
    );
    assert_eq!(
        accepted(&terminating(Running), &Event::Renewed { fence: FENCE }, 10).phase(),
        Running
    );
    let waiting = accepted(&terminating(RetryPending), &Event::BackoffElapsed, 60);
    assert_eq!(
        (waiting.phase(), entry(&waiting).reason.as_str()),
        (Failed, NAMESPACE_TERMINATING)
    );
}

#[test]
fn a_suspended_order_is_not_claimed_and_comes_back() {
    let suspended = accepted(&state(Pending), &Event::Suspended, 0).next;
    assert!(!suspended.is_claimable());
    assert_eq!(
        outcome(&suspended, &claim_by("edge-2", "x", false), 1),
        "!Suspended"
    );
    let resumed = accepted(&suspended, &Event::Resumed, 2);
    assert_eq!(resumed.effects, [Effect::MakeClaimable]);
    let held = accepted(&state(Running), &Event::Suspended, 0).next;
    let released = accepted(&held, &released(None, true), 1);
    assert!(
        !released.effects.contains(&Effect::MakeClaimable),
        "a suspended order does not go back to the queue"
    );
}

#[test]
fn a_takeover_changes_the_process_and_nothing_else() {
    let before = state(Running);
    let step = accepted(&before, &claim_by("edge-1", "new", true), 30);
    let (old, new) = (before.claim.clone().unwrap(), step.next.claim.clone().unwrap());
    assert_eq!(
        (new.holder.as_str(), new.fence, new.claimed_at),
        ("new", NEXT_FENCE, old.claimed_at)
    );
    assert_eq!((step.next.attempts_made, step.next.lost_attempts), (1, 0));
    assert_eq!(outcome(&step.next, &succeeded(FENCE), 31), "!FenceSpent");
    assert_eq!(
        accepted(&step.next, &succeeded(NEXT_FENCE), 31).phase(),
        Succeeded
    );
}

#[test]
fn a_conflict_says_by_whom_and_until_when() {
    let refusal = transition(&state(Running), &claim_by("edge-2", "x", false), at(10)).unwrap_err();
    let text = refusal.to_string();
    assert!(
        text.contains("edge-1") && text.contains(&time(60).to_string()),
        "{text}"
    );
    let early = transition(&state(RetryPending), &claim_by("edge-2", "x", false), at(10)).unwrap_err();
    assert!(early.to_string().contains(&time(60).to_string()), "{early}");
}

#[test]
fn a_repeated_completion_is_answered_and_changes_nothing() {
    let first = accepted(&state(Running), &failed(IMAGE_PUSH_FAILED), 10).next;
    let again = accepted(&first, &failed(IMAGE_PUSH_FAILED), 11);
    assert_eq!((again.effects.len(), &again.next), (0, &first));
    let reclaimed = accepted(&first, &claim_by("edge-2", "x", false), 70).next;
    let late = accepted(&reclaimed, &failed(IMAGE_PUSH_FAILED), 71);
    assert_eq!((late.effects.len(), &late.next), (0, &reclaimed));
}

#[test]
fn a_bare_renewal_writes_no_object() {
    let renewed = accepted(&state(Running), &Event::Renewed { fence: FENCE }, 10);
    assert!(!renewed.changes_object());
    assert!(accepted(&state(Running), &running(FENCE), 10).changes_object());
    let lapsed = accepted(&harmful(Running), &Event::LeaseLost { fence: FENCE }, 61).next;
    assert!(accepted(&lapsed, &Event::Renewed { fence: FENCE }, 62).changes_object());
}

#[test]
fn the_fence_of_an_expiry_must_be_the_current_one() {
    assert_eq!(
        outcome(&state(Running), &Event::LeaseLost { fence: OLD_FENCE }, 61),
        "!Superseded"
    );
    let moment = Moment {
        now: time(61),
        jitter: 0.7,
    };
    assert!(transition(&state(Running), &Event::LeaseLost { fence: FENCE }, moment).is_ok());
}
