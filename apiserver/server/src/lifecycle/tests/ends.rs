//! Rules of the end that somebody or a clock asks for: cancels, deadlines, deletes, TTL.

use brokkr_apis::work::v1alpha1::WorkOrderPhase::{
    Cancelled, Cancelling, Failed, Pending, Running, Succeeded,
};
use brokkr_apis::work::v1alpha1::reasons::{CANCELLED, DEADLINE_EXCEEDED};
use brokkr_apis::work::v1alpha1::{CancellationCause, FailureClass, LogOutcome};

use super::fixtures::*;
use super::rules::{attempt_end, entry};
use crate::lifecycle::{Effect, Event, State, grace_seconds};

#[test]
fn a_success_while_cancelling_counts() {
    let step = accepted(&state(Cancelling), &succeeded(FENCE), 10);
    assert_eq!(
        (step.phase(), entry(&step).outcome),
        (Succeeded, LogOutcome::Succeeded)
    );
}

#[test]
fn a_confirmed_cancel_knows_its_outcome_and_a_late_one_does_not() {
    let confirmed = accepted(&state(Cancelling), &cancelled(FENCE), 10);
    assert_eq!(
        (confirmed.phase(), entry(&confirmed).outcome_unknown),
        (Cancelled, false)
    );
    let late = accepted(&state(Cancelling), &Event::CancelDeadlineReached, 60);
    assert_eq!((late.phase(), entry(&late).outcome_unknown), (Cancelled, true));
    assert_eq!(entry(&late).reason, CANCELLED);
    assert_eq!(attempt_end(&late).rule, Some("CancelDeadline"));
}

#[test]
fn the_orders_deadline_stops_the_run_and_fails_the_order() {
    let stopping = accepted(&state(Running), &Event::DeadlineReached, 7200);
    assert_eq!(stopping.phase(), Cancelling);
    assert_eq!(
        stopping.next.ending.as_ref().unwrap().cause,
        CancellationCause::Deadline
    );
    let step = accepted(&stopping.next, &cancelled(FENCE), 7210);
    let entry = entry(&step);
    assert_eq!(
        (step.phase(), entry.outcome, entry.reason.as_str()),
        (Failed, LogOutcome::Failed, DEADLINE_EXCEEDED)
    );
    let unlimited = State {
        deadline: None,
        ..state(Pending)
    };
    assert_eq!(outcome(&unlimited, &Event::DeadlineReached, 9999), "!Superseded");
}

#[test]
fn a_grace_period_is_brought_into_its_range() {
    for (requested, expected) in [
        (None, 60),
        (Some(0), 0),
        (Some(1), 5),
        (Some(4), 5),
        (Some(30), 30),
        (Some(9000), 3600),
        (Some(-1), 5),
    ] {
        assert_eq!(grace_seconds(requested), expected, "{requested:?}");
    }
}

#[test]
fn a_second_delete_only_shortens() {
    let first = accepted(&state(Running), &delete(Some(100)), 0).next;
    assert_eq!(first.ending.as_ref().unwrap().deadline, time(100));
    assert!(first.deleting);
    let longer = accepted(&first, &delete(Some(1000)), 1);
    assert_eq!((longer.effects.len(), &longer.next), (0, &first));
    let shorter = accepted(&first, &delete(Some(10)), 1);
    assert_eq!(shorter.effects, [Effect::SetCancelDeadline { at: time(11) }]);
    let now = accepted(&first, &delete(Some(0)), 1);
    assert_eq!((now.phase(), entry(&now).outcome_unknown), (Cancelled, true));
    assert_eq!(now.effects.last(), Some(&Effect::DeleteObject));
}

#[test]
fn a_delete_of_a_cancelling_order_keeps_the_first_request_on_record() {
    let step = accepted(&state(Cancelling), &delete(None), 10);
    assert_eq!(
        step.effects,
        [Effect::BeginDeletion],
        "70 is later than the deadline of the cancel"
    );
    assert_eq!(step.next.ending, state(Cancelling).ending);
    let done = accepted(&step.next, &cancelled(FENCE), 20);
    assert_eq!(done.effects.last(), Some(&Effect::DeleteObject));
}

#[test]
fn removing_the_finalizer_ends_the_order_with_the_user_on_record() {
    let deleting = accepted(&state(Running), &delete(None), 0).next;
    let step = accepted(&deleting, &finalizer_removed(), 1);
    assert_eq!((step.phase(), entry(&step).outcome_unknown), (Cancelled, true));
    assert!(step.message.unwrap().contains("alice"));
    assert_eq!(
        attempt_end(&accepted(&deleting, &finalizer_removed(), 1)).rule,
        Some("FinalizerRemoved")
    );
}

#[test]
fn a_ttl_of_zero_takes_the_object_at_once_and_minus_one_keeps_it() {
    let step = accepted(
        &State {
            ttl_seconds: Some(0),
            ..state(Running)
        },
        &succeeded(FENCE),
        10,
    );
    assert_eq!(step.effects.last(), Some(&Effect::DeleteObject));
    assert_eq!(
        accepted(&state(Running), &succeeded(FENCE), 10).effects.last(),
        Some(&Effect::SetExpiry { at: Some(time(3610)) })
    );
    let kept = accepted(
        &State {
            ttl_seconds: None,
            ..state(Running)
        },
        &succeeded(FENCE),
        10,
    );
    assert_eq!(kept.effects.last(), Some(&Effect::SetExpiry { at: None }));
    assert_eq!(outcome(&kept.next, &Event::TtlElapsed, 1_000_000), "!Superseded");
}

#[test]
fn a_run_cancelled_behind_our_back_cancels_the_order() {
    let step = accepted(&state(Running), &cancelled(FENCE), 10);
    assert_eq!(
        (step.phase(), entry(&step).class),
        (Cancelled, Some(FailureClass::Cancelled))
    );
    assert_eq!(
        accepted(&state(Running), &failed(CANCELLED), 10).phase(),
        Cancelled
    );
}
