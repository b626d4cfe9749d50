//! Every cell of the table of states and events.
//!
//! The loops run over all phases and all kinds of events, and both are matched without a wildcard, so that a new one does
//! not compile until every new cell has been decided. The order may run twice, and all times have come.

use std::collections::BTreeSet;

use brokkr_apis::work::v1alpha1::WorkOrderPhase;
use brokkr_apis::work::v1alpha1::reasons::{IMAGE_PUSH_FAILED, INVALID_IMAGE};

use super::fixtures::*;
use crate::lifecycle::Event;

/// When everything that waits for a time is due.
const DUE: i64 = 8000;

/// A kind of event; Claimed, Completed and Released come in the variants that go different ways.
fn kind(event: &Event) -> &'static str {
    match event {
        Event::Claimed(request) if request.takeover => "takeover",
        Event::Claimed(request) if request.agent == "edge-2" => "claim by another agent",
        Event::Claimed(request) if request.holder == "h" => "claim by the holder",
        Event::Claimed(_) => "claim by another process",
        Event::Progress { .. } => "progress",
        Event::Renewed { .. } => "renewed",
        Event::Completed(report) if report.fence == OLD_FENCE => "completed again",
        Event::Completed(report) => match (report.outcome.as_str(), report.reason.as_deref()) {
            ("Succeeded", _) => "completed: Succeeded",
            ("Cancelled", _) => "completed: Cancelled",
            (_, Some(IMAGE_PUSH_FAILED)) => "completed: retryable",
            _ => "completed: permanent",
        },
        Event::Released { force: false, .. } => "released",
        Event::Released { force: true, .. } => "released by force",
        Event::LeaseLost { .. } => "lease lost",
        Event::AttemptCapReached => "attempt cap reached",
        Event::DeadlineReached => "deadline reached",
        Event::BackoffElapsed => "backoff elapsed",
        Event::CancelRequested { .. } => "cancel requested",
        Event::DeleteRequested {
            grace_seconds: Some(0),
            ..
        } => "delete requested, grace 0",
        Event::DeleteRequested { .. } => "delete requested",
        Event::FinalizerRemoved { .. } => "finalizer removed",
        Event::CancelDeadlineReached => "cancel deadline reached",
        Event::TtlElapsed => "TTL elapsed",
        Event::Suspended => "suspended",
        Event::Resumed => "resumed",
    }
}

fn events() -> Vec<Event> {
    vec![
        claim_by("edge-2", "other", false),
        claim_by("edge-1", "h", false),
        claim_by("edge-1", "other", false),
        claim_by("edge-1", "other", true),
        running(FENCE),
        Event::Renewed { fence: FENCE },
        succeeded(FENCE),
        failed(IMAGE_PUSH_FAILED),
        failed(INVALID_IMAGE),
        cancelled(FENCE),
        succeeded(OLD_FENCE),
        released(Some(FENCE), false),
        released(None, true),
        Event::LeaseLost { fence: FENCE },
        Event::AttemptCapReached,
        Event::DeadlineReached,
        Event::BackoffElapsed,
        cancel(),
        delete(None),
        delete(Some(0)),
        finalizer_removed(),
        Event::CancelDeadlineReached,
        Event::TtlElapsed,
        Event::Suspended,
        Event::Resumed,
    ]
}

/// The column of a phase; the three terminal phases share one, because nothing tells them apart.
fn column(phase: WorkOrderPhase) -> usize {
    match phase {
        WorkOrderPhase::Pending => 0,
        WorkOrderPhase::Claimed => 1,
        WorkOrderPhase::Running => 2,
        WorkOrderPhase::RetryPending => 3,
        WorkOrderPhase::Cancelling => 4,
        WorkOrderPhase::Succeeded | WorkOrderPhase::Failed | WorkOrderPhase::Cancelled => 5,
    }
}

const GRANTED: &str = "Claimed: AttemptStarted, SetLease";
const SPENT: &str = "!FenceSpent";
const LATE: &str = "!Superseded";
const HELD: &str = "!Held";
const PROCESS: &str = "!HeldByOtherProcess";
const DONE: &str = "!Finished";
const LIVE: &str = "!NotFinished";
const SAME: &str = "unchanged";
const SUCCESS: &str = "Succeeded: AttemptEnded, DropLease, WriteLogEntry, SetExpiry";
const FAILURE: &str = "Failed: AttemptEnded, DropLease, WriteLogEntry, SetExpiry";
const RETRY: &str = "RetryPending: AttemptEnded, DropLease, ScheduleRetry";
const STOPPED: &str = "Cancelled: AttemptEnded, DropLease, WriteLogEntry, SetExpiry";
const ROBBED: &str = "Cancelled: AttemptEnded, DropLease, RingHolder, WriteLogEntry, SetExpiry";
const REQUEUED: &str = "Pending: AttemptEnded, DropLease, MakeClaimable";
const TAKEN: &str = "Pending: AttemptEnded, DropLease, RingHolder, MakeClaimable";
const CAPPED: &str = "RetryPending: AttemptEnded, DropLease, RingHolder, ScheduleRetry";
const STOPPING: &str = "Cancelling: RecordCancellation, SetCancelDeadline, RingHolder";
const DROPPED: &str = "Cancelled: RecordCancellation, WriteLogEntry, SetExpiry";
const EXPIRED: &str = "Failed: RecordCancellation, WriteLogEntry, SetExpiry";
const DELETED: &str = "Cancelled: RecordCancellation, WriteLogEntry, DeleteObject";
const DELETING: &str = "Cancelling: RecordCancellation, SetCancelDeadline, RingHolder, BeginDeletion";
const FORCED: &str =
    "Cancelled: AttemptEnded, DropLease, RingHolder, WriteLogEntry, DeleteObject, RecordCancellation";
const GONE: &str = "$: DeleteObject";

/// Pending, Claimed, Running, RetryPending, Cancelling, terminal. `$` stands for the phase itself.
const CELLS: &[(&str, [&str; 6])] = &[
    (
        "claim by another agent",
        [GRANTED, HELD, HELD, GRANTED, HELD, DONE],
    ),
    (
        "claim by the holder",
        [
            GRANTED,
            "$: RenewLease",
            "$: RenewLease",
            GRANTED,
            "$: RenewLease",
            DONE,
        ],
    ),
    (
        "claim by another process",
        [GRANTED, PROCESS, PROCESS, GRANTED, PROCESS, DONE],
    ),
    (
        "takeover",
        [
            GRANTED,
            "$: SetLease",
            "$: SetLease",
            GRANTED,
            "$: SetLease",
            DONE,
        ],
    ),
    (
        "progress",
        [
            SPENT,
            "Running: RenewLease, RecordProgress",
            "$: RenewLease, RecordProgress",
            SPENT,
            "$: RenewLease, RecordProgress",
            SPENT,
        ],
    ),
    (
        "renewed",
        [
            SPENT,
            "$: RenewLease",
            "$: RenewLease",
            SPENT,
            "$: RenewLease",
            SPENT,
        ],
    ),
    (
        "completed: Succeeded",
        [SPENT, SUCCESS, SUCCESS, SPENT, SUCCESS, SPENT],
    ),
    (
        "completed: retryable",
        [SPENT, RETRY, RETRY, SPENT, STOPPED, SPENT],
    ),
    (
        "completed: permanent",
        [SPENT, FAILURE, FAILURE, SPENT, STOPPED, SPENT],
    ),
    (
        "completed: Cancelled",
        [SPENT, STOPPED, STOPPED, SPENT, STOPPED, SPENT],
    ),
    ("completed again", [SPENT, SPENT, SPENT, SAME, SPENT, SAME]),
    ("released", [SPENT, REQUEUED, REQUEUED, SPENT, STOPPED, SPENT]),
    (
        "released by force",
        ["!NotHeld", TAKEN, TAKEN, "!NotHeld", ROBBED, DONE],
    ),
    ("lease lost", [LATE, TAKEN, TAKEN, LATE, ROBBED, LATE]),
    ("attempt cap reached", [LATE, CAPPED, CAPPED, LATE, LATE, LATE]),
    (
        "deadline reached",
        [EXPIRED, STOPPING, STOPPING, EXPIRED, LATE, LATE],
    ),
    (
        "backoff elapsed",
        [LATE, LATE, LATE, "Pending: MakeClaimable", LATE, LATE],
    ),
    (
        "cancel requested",
        [DROPPED, STOPPING, STOPPING, DROPPED, SAME, SAME],
    ),
    (
        "delete requested",
        [DELETED, DELETING, DELETING, DELETED, "$: BeginDeletion", GONE],
    ),
    (
        "delete requested, grace 0",
        [
            DELETED,
            FORCED,
            FORCED,
            DELETED,
            "Cancelled: AttemptEnded, DropLease, RingHolder, WriteLogEntry, DeleteObject",
            GONE,
        ],
    ),
    ("finalizer removed", [SAME, SAME, SAME, SAME, SAME, SAME]),
    ("cancel deadline reached", [LATE, LATE, LATE, LATE, ROBBED, LATE]),
    ("TTL elapsed", [LIVE, LIVE, LIVE, LIVE, LIVE, GONE]),
    ("suspended", ["$", "$", "$", "$", "$", "$"]),
    ("resumed", [SAME, SAME, SAME, SAME, SAME, SAME]),
];

#[test]
fn every_cell_is_as_decided() {
    for event in events() {
        let (_, cells) = CELLS.iter().find(|(name, _)| *name == kind(&event)).unwrap();
        for phase in WorkOrderPhase::ALL.iter().copied() {
            let expected = cells[column(phase)].replace('$', phase.as_str());
            let found = outcome(&state(phase), &event, DUE);
            assert_eq!(found, expected, "{} in {phase}", kind(&event));
        }
    }
}

#[test]
fn the_table_has_every_kind_of_event_once() {
    let known: Vec<_> = CELLS.iter().map(|(name, _)| *name).collect();
    let tried: BTreeSet<_> = events().iter().map(kind).collect();
    assert_eq!(known.iter().copied().collect::<BTreeSet<_>>(), tried);
    assert_eq!(known.len(), tried.len());
}

#[test]
fn nothing_that_waits_for_a_time_happens_before_it() {
    for (phase, event, due) in [
        (WorkOrderPhase::RetryPending, Event::BackoffElapsed, 60),
        (
            WorkOrderPhase::RetryPending,
            claim_by("edge-2", "other", false),
            60,
        ),
        (WorkOrderPhase::Running, Event::AttemptCapReached, 3600),
        (WorkOrderPhase::Claimed, Event::AttemptCapReached, 3600),
        (WorkOrderPhase::Pending, Event::DeadlineReached, 7200),
        (WorkOrderPhase::Running, Event::DeadlineReached, 7200),
        (WorkOrderPhase::Cancelling, Event::CancelDeadlineReached, 60),
        (WorkOrderPhase::Succeeded, Event::TtlElapsed, 3600),
    ] {
        assert_eq!(
            outcome(&state(phase), &event, due - 1),
            "!NotDue",
            "{} in {phase}",
            kind(&event)
        );
        assert_ne!(
            outcome(&state(phase), &event, due),
            "!NotDue",
            "{} in {phase}",
            kind(&event)
        );
    }
}
