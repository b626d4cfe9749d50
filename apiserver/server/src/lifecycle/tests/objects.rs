//! What is written into the object and into the log.

use brokkr_apis::work::defaults::default_work_order;
use brokkr_apis::work::v1alpha1::reasons::{IMAGE_PUSH_FAILED, INVALID_IMAGE};
use brokkr_apis::work::v1alpha1::{
    ActionRecord, BuildReference, CANCELLATION_FINALIZER, ChildReference, CompletionOutcome, Fence,
    LogOutcome, Progress, ProgressPhase, WorkOrder, WorkOrderLog, WorkOrderPhase, WorkOrderSpec, conditions,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::fixtures::*;
use crate::lifecycle::{Event, Moment, QueueColumns, State, log_entry, log_name, transition};

/// A build order and its queue columns, driven by events.
struct Row {
    order: WorkOrder,
    columns: QueueColumns,
    log: Option<WorkOrderLog>,
}

impl Row {
    fn created() -> Self {
        let spec = WorkOrderSpec {
            work_type: "build".to_owned(),
            build_ref: Some(BuildReference {
                name: "my-app".to_owned(),
            }),
            ..WorkOrderSpec::default()
        };
        let mut order = WorkOrder::new("build-my-app", spec);
        order.metadata.namespace = Some("team-a".to_owned());
        order.metadata.uid = Some("01234567-89ab-cdef-0123-456789abcdef".to_owned());
        order.metadata.generation = Some(1);
        order.metadata.creation_timestamp = Some(Time(time(0)));
        order.metadata.labels = Some([("app".to_owned(), "my-app".to_owned())].into());
        order.status = Some(Default::default());
        order.status.as_mut().unwrap().created_by = Some("alice".to_owned());
        default_work_order(&mut order);
        Self {
            order,
            columns: QueueColumns::default(),
            log: None,
        }
    }

    fn event(mut self, event: &Event, now: Timestamp) -> Self {
        let state = State::of(&self.order, &self.columns);
        let step = transition(&state, event, Moment { now, jitter: 0.0 }).unwrap();
        step.apply(&mut self.order, event, now);
        let attempts = self.order.status.as_ref().unwrap().attempts.clone();
        if let Some(entry) = log_entry(&self.order, &step, attempts, now) {
            assert!(self.log.replace(entry).is_none(), "a second entry");
        }
        self.columns.next_retry_after = step.next.next_retry_after;
        self.columns.lapsed = step.next.claim.is_some_and(|claim| claim.lapsed);
        self
    }

    fn at(self, event: &Event, seconds: i64) -> Self {
        self.event(event, time(seconds))
    }

    fn condition(&self, type_: &str) -> Option<&Condition> {
        self.order
            .status
            .as_ref()
            .unwrap()
            .conditions
            .iter()
            .find(|condition| condition.type_ == type_)
    }
}

fn claim(fence: i64) -> Event {
    match claim_by("edge-1", "h", false) {
        Event::Claimed(request) => Event::Claimed(crate::lifecycle::ClaimRequest {
            fence: Fence(fence),
            ..request
        }),
        event => event,
    }
}

#[test]
fn a_claim_is_shown_with_its_attempt() {
    let row = Row::created().at(&claim(7), 5);
    let status = row.order.status.as_ref().unwrap();
    let claim = status.claim.as_ref().unwrap();
    assert_eq!(
        (claim.agent.as_str(), claim.holder.as_str(), claim.fence),
        ("edge-1", "h", Fence(7))
    );
    assert_eq!((claim.claimed_at.0, claim.lease_duration_seconds), (time(5), 60));
    assert_eq!(
        (status.start_time.clone(), status.observed_generation),
        (Some(Time(time(5))), Some(1))
    );
    assert_eq!((status.attempts.len(), status.attempts[0].number), (1, 1));
    assert_eq!(row.condition(conditions::CLAIMED).unwrap().status, "True");
}

#[test]
fn progress_is_shown_with_the_build_run() {
    let progress = Progress {
        phase: Some(ProgressPhase::Running),
        message: Some("pushing".to_owned()),
        child_ref: Some(ChildReference {
            kind: "BuildRun".to_owned(),
            name: "wo-1-a1".to_owned(),
            ..Default::default()
        }),
        actions: vec![ActionRecord {
            step: "scale".to_owned(),
            ..ActionRecord::default()
        }],
    };
    let event = Event::Progress {
        fence: Fence(7),
        progress: Box::new(progress),
    };
    let row = Row::created().at(&claim(7), 5).at(&event, 6);
    let status = row.order.status.as_ref().unwrap();
    assert_eq!(
        (status.phase, status.message.as_str()),
        (WorkOrderPhase::Running, "pushing")
    );
    assert_eq!(status.build_run_name.as_deref(), Some("wo-1-a1"));
    assert_eq!(
        (
            status.attempts[0].actions.len(),
            status.attempts[0].execution_started
        ),
        (1, Some(true))
    );
}

#[test]
fn a_success_is_shown_and_logged_with_its_results() {
    let mut done = report(Fence(7), CompletionOutcome::Succeeded, "");
    done.message = "pushed".to_owned();
    done.results.insert("digest".to_owned(), json!("sha256:1"));
    let row = Row::created()
        .at(&claim(7), 5)
        .at(&Event::Completed(Box::new(done)), 65);
    let status = row.order.status.as_ref().unwrap();
    assert_eq!(
        (status.phase, status.claim.is_none()),
        (WorkOrderPhase::Succeeded, true)
    );
    assert_eq!(status.results["digest"], "sha256:1");
    assert_eq!(status.completion_time, Some(Time(time(65))));
    assert_eq!(row.condition(conditions::COMPLETE).unwrap().status, "True");
    assert_eq!(
        row.condition(conditions::CLAIMED).unwrap().reason,
        conditions::FINISHED
    );

    let log = row.log.as_ref().unwrap();
    assert_eq!(log.metadata.name, status.log_name);
    assert_eq!(
        log.metadata.name.as_deref(),
        Some("build-my-app-0123456789abcdef")
    );
    let labels = log.metadata.labels.as_ref().unwrap();
    assert_eq!(labels["work.brokkr.io/completed-at"], "1800000065");
    assert_eq!((labels["app"].as_str(), log.spec.labels.len()), ("my-app", 1));
    assert_eq!(
        (log.spec.order_name.as_str(), log.spec.created_by.as_deref()),
        ("build-my-app", Some("alice"))
    );
    assert_eq!(log.spec.order, row.order.spec);
    let outcome = log.status.as_ref().unwrap();
    assert_eq!(
        (outcome.outcome, outcome.success, outcome.duration_seconds),
        (LogOutcome::Succeeded, true, 60)
    );
    assert_eq!(
        (outcome.agent.as_str(), outcome.message.as_str()),
        ("edge-1", "pushed")
    );
    assert_eq!((outcome.attempts.len(), &outcome.results), (1, &status.results));
}

#[test]
fn a_failure_is_shown_with_its_reason_and_rule() {
    let mut lost = report(Fence(7), CompletionOutcome::Failed, INVALID_IMAGE);
    lost.source_reason = Some("InvalidImageName".to_owned());
    lost.message = "no such image".to_owned();
    let row = Row::created()
        .at(&claim(7), 5)
        .at(&Event::Completed(Box::new(lost)), 6);
    let failed = row.condition(conditions::FAILED).unwrap();
    assert_eq!(
        (failed.reason.as_str(), failed.message.as_str()),
        (INVALID_IMAGE, "no such image")
    );
    assert!(row.condition(conditions::COMPLETE).is_none());
    let attempt = &row.log.unwrap().status.unwrap().attempts[0];
    assert_eq!(
        (attempt.rule.as_deref(), attempt.source_reason.as_deref()),
        (Some("Table"), Some("InvalidImageName"))
    );
}

#[test]
fn a_retry_says_when_and_its_time_is_never_too_early() {
    let claimed = Row::created().at(&claim(7), 0);
    let fraction = time(10).checked_add(SignedDuration::from_millis(400)).unwrap();
    let failure = Event::Completed(Box::new(report(
        Fence(7),
        CompletionOutcome::Failed,
        IMAGE_PUSH_FAILED,
    )));
    let row = claimed.event(&failure, fraction);
    let status = row.order.status.as_ref().unwrap();
    assert_eq!(
        (status.phase, status.retry_count),
        (WorkOrderPhase::RetryPending, 1)
    );
    assert_eq!(status.next_retry_after, Some(Time(time(71))));
    assert_eq!(
        row.condition(conditions::SCHEDULABLE).unwrap().reason,
        conditions::BACKOFF
    );
    let row = row.at(&claim(8), 71);
    let status = row.order.status.as_ref().unwrap();
    assert_eq!((status.attempts.len(), status.attempts[1].number), (2, 2));
    assert_eq!(
        (status.next_retry_after.is_none(), status.start_time.clone()),
        (true, Some(Time(time(0))))
    );
    assert_eq!(row.condition(conditions::SCHEDULABLE).unwrap().status, "True");
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let row = Row::created().at(&claim(7), 5).at(&running(Fence(7)), 50);
    assert_eq!(
        row.condition(conditions::CLAIMED).unwrap().last_transition_time,
        Time(time(5))
    );
    let row = row.at(&succeeded(Fence(7)), 60);
    assert_eq!(
        row.condition(conditions::CLAIMED).unwrap().last_transition_time,
        Time(time(60))
    );
}

#[test]
fn a_deleted_order_gets_our_finalizer_and_loses_only_ours() {
    let mut row = Row::created().at(&claim(7), 5);
    row.order.metadata.finalizers = Some(vec!["example.com/other".to_owned()]);
    let row = row.at(&delete(Some(30)), 10);
    let metadata = &row.order.metadata;
    assert_eq!(
        metadata.finalizers.as_ref().unwrap(),
        &["example.com/other", CANCELLATION_FINALIZER]
    );
    assert_eq!(metadata.deletion_timestamp, Some(Time(time(10))));
    assert_eq!(metadata.deletion_grace_period_seconds, Some(0));
    let cancellation = row.order.status.as_ref().unwrap().cancellation.as_ref().unwrap();
    assert_eq!(
        (cancellation.requested_by.as_str(), cancellation.deadline.clone()),
        ("alice", Some(Time(time(40))))
    );

    let row = row.at(&cancelled(Fence(7)), 20);
    assert_eq!(
        row.order.metadata.finalizers.as_ref().unwrap(),
        &["example.com/other"]
    );
    let log = row.log.unwrap().status.unwrap();
    assert_eq!((log.outcome, log.outcome_unknown), (LogOutcome::Cancelled, false));
    assert_eq!(log.cancellation.unwrap().requested_by, "alice");
}

#[test]
fn a_shortened_deadline_is_shown() {
    let row = Row::created()
        .at(&claim(7), 5)
        .at(&delete(Some(300)), 10)
        .at(&delete(Some(20)), 11);
    let cancellation = row.order.status.as_ref().unwrap().cancellation.as_ref().unwrap();
    assert_eq!(
        (cancellation.requested_at.clone(), cancellation.deadline.clone()),
        (Time(time(10)), Some(Time(time(31))))
    );
}

#[test]
fn an_order_that_was_never_claimed_is_logged_without_an_agent() {
    let row = Row::created().at(&cancel(), 9);
    let log = row.log.unwrap().status.unwrap();
    assert_eq!(
        (log.agent.as_str(), log.duration_seconds, log.attempts.len()),
        ("", 0, 0)
    );
    let cancellation = log.cancellation.unwrap();
    assert_eq!(
        (cancellation.reason.as_str(), cancellation.deadline),
        ("not needed", None)
    );
}

#[test]
fn a_lapsed_claim_shows_an_unreachable_holder_until_it_is_back() {
    let mut row = Row::created();
    row.order.spec.side_effects = Some(brokkr_apis::work::v1alpha1::SideEffects::NonIdempotent);
    let row = row.at(&claim(7), 0).at(&Event::LeaseLost { fence: Fence(7) }, 61);
    assert_eq!(
        row.condition(conditions::HOLDER_UNREACHABLE).unwrap().status,
        "True"
    );
    assert!(row.order.status.as_ref().unwrap().claim.is_some());
    let row = row.at(&Event::Renewed { fence: Fence(7) }, 70);
    let condition = row.condition(conditions::HOLDER_UNREACHABLE).unwrap();
    assert_eq!(
        (condition.status.as_str(), condition.reason.as_str()),
        ("False", conditions::RENEWED)
    );
}

#[test]
fn the_status_remembers_the_latest_ten_attempts() {
    let mut row = Row::created();
    for number in 0..12 {
        row = row
            .at(&claim(100 + number), number)
            .at(&released(None, true), number);
    }
    let attempts = &row.order.status.as_ref().unwrap().attempts;
    assert_eq!(
        (attempts.len(), attempts[0].number, attempts[9].number),
        (10, 3, 12)
    );
}

#[test]
fn an_entrys_name_fits_and_ends_in_the_uid() {
    let uid = "01234567-89ab-cdef-0123-456789abcdef";
    assert_eq!(log_name("a", uid), "a-0123456789abcdef");
    let long = log_name(&"x".repeat(253), uid);
    assert_eq!(long.len(), 253);
    let dotted = format!("{}.-.{}", "x".repeat(233), "y".repeat(10));
    assert_eq!(
        log_name(&dotted, uid),
        format!("{}-0123456789abcdef", "x".repeat(233))
    );
}
