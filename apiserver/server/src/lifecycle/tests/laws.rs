//! Laws that hold for every history of an order.
//!
//! A history is a list of arbitrary events at arbitrary times, with fences and agents that may be current or not. It is
//! run against the machine alone, and at every step the object and its queue columns must say the same as the state.

use std::collections::BTreeSet;

use brokkr_apis::work::defaults::default_work_order;
use brokkr_apis::work::v1alpha1::reasons::TABLE;
use brokkr_apis::work::v1alpha1::{
    CompletionOutcome, Fence, RetryPolicy, SideEffects, WorkOrder, WorkOrderPhase, WorkOrderSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::fixtures::*;
use crate::lifecycle::{ClaimRequest, Effect, Event, Moment, QueueColumns, State, transition};

/// How a generated event relates to the current claim.
#[derive(Clone, Copy, Debug)]
enum Aim {
    Current,
    Earlier,
}

#[derive(Clone, Debug)]
enum Move {
    Claim {
        agent: bool,
        holder: bool,
        takeover: bool,
    },
    Progress(Aim),
    Renew(Aim),
    Complete(Aim, CompletionOutcome, usize, bool, bool),
    Release(Aim, bool),
    LoseLease(Aim),
    Delete(Option<i64>),
    Other(u8),
}

fn moves() -> impl Strategy<Value = Move> {
    let aim = || prop_oneof![5 => Just(Aim::Current), 1 => Just(Aim::Earlier)];
    let outcome = prop::sample::select(CompletionOutcome::ALL);
    let claim = |agent, holder, takeover| Move::Claim {
        agent,
        holder,
        takeover,
    };
    prop_oneof![
        6 => (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(move |(a, h, t)| claim(a, h, t)),
        2 => aim().prop_map(Move::Progress),
        1 => aim().prop_map(Move::Renew),
        4 => (aim(), outcome, 0..TABLE.len(), any::<bool>(), any::<bool>())
            .prop_map(|(aim, outcome, reason, started, ended)| Move::Complete(aim, outcome, reason, started, ended)),
        1 => (aim(), any::<bool>()).prop_map(|(aim, force)| Move::Release(aim, force)),
        3 => aim().prop_map(Move::LoseLease),
        1 => prop::option::of(0_i64..200).prop_map(Move::Delete),
        6 => (0_u8..8).prop_map(Move::Other),
    ]
}

/// An order as it is after creation.
fn created(side_effects: &SideEffects, ttl: i64) -> WorkOrder {
    let spec = WorkOrderSpec {
        work_type: "job".to_owned(),
        side_effects: Some(side_effects.clone()),
        retry_policy: Some(RetryPolicy {
            max_retries: Some(2),
            max_lost_attempts: Some(2),
            retry_on: vec!["OutOfMemory".to_owned()],
            ..RetryPolicy::default()
        }),
        active_deadline_seconds: Some(20_000),
        ttl_seconds_after_finished: Some(ttl),
        ..WorkOrderSpec::default()
    };
    let mut order = WorkOrder::new("a", spec);
    order.metadata.uid = Some("0123456789abcdef".to_owned());
    order.metadata.creation_timestamp = Some(Time(time(0)));
    order.status = Some(Default::default());
    default_work_order(&mut order);
    order
}

/// The queue's row after a step.
fn columns(state: &State) -> QueueColumns {
    QueueColumns {
        lease_expires_at: state.claim.as_ref().map(|claim| claim.expires_at),
        lapsed: state.claim.as_ref().is_some_and(|claim| claim.lapsed),
        next_retry_after: state.next_retry_after,
        cancel_deadline: state.ending.as_ref().map(|ending| ending.deadline),
        namespace_terminating: state.namespace_terminating,
        another_agent_targeted: state.another_agent_targeted,
    }
}

/// What a history has shown so far.
#[derive(Default)]
struct Witness {
    entries: usize,
    settled: BTreeSet<Fence>,
    granted: Vec<Fence>,
    charged_losses: i64,
}

struct History {
    order: WorkOrder,
    state: State,
    seconds: i64,
    version: i64,
    seen: Witness,
}

impl History {
    fn event(&self, step: &Move) -> Event {
        let current = self.state.claim.as_ref().map(|claim| claim.fence);
        let fence = |aim| match aim {
            Aim::Current => current.unwrap_or_default(),
            Aim::Earlier => self.seen.granted.first().copied().unwrap_or_default(),
        };
        match step {
            Move::Claim {
                agent,
                holder,
                takeover,
            } => Event::Claimed(ClaimRequest {
                agent: if *agent { "edge-1" } else { "edge-2" }.to_owned(),
                holder: if *holder { "h" } else { "other" }.to_owned(),
                fence: Fence(self.version),
                takeover: *takeover,
                lease_seconds: 60,
            }),
            Move::Progress(aim) => running(fence(*aim)),
            Move::Renew(aim) => Event::Renewed { fence: fence(*aim) },
            Move::Complete(aim, outcome, reason, started, ended) => {
                let mut report = report(fence(*aim), *outcome, TABLE[*reason].name);
                report.execution_started = Some(*started);
                report.child_confirmed_ended = Some(*ended);
                Event::Completed(Box::new(report))
            }
            Move::Release(aim, force) => released(Some(fence(*aim)), *force),
            Move::LoseLease(aim) => Event::LeaseLost { fence: fence(*aim) },
            Move::Delete(grace) => delete(*grace),
            Move::Other(0) => cancel(),
            Move::Other(1) => finalizer_removed(),
            Move::Other(2) => Event::Suspended,
            Move::Other(3) => Event::Resumed,
            Move::Other(4) => Event::AttemptCapReached,
            Move::Other(5) => Event::DeadlineReached,
            Move::Other(6) => Event::CancelDeadlineReached,
            Move::Other(_) => {
                if self.state.phase.is_terminal() {
                    Event::TtlElapsed
                } else {
                    Event::BackoffElapsed
                }
            }
        }
    }

    /// Makes one move and checks every law.
    fn step(&mut self, step: &Move, seconds: i64) {
        self.seconds += seconds;
        self.version += 1;
        let event = self.event(step);
        let before = self.state.clone();
        let now = time(self.seconds);
        let Ok(after) = transition(&before, &event, Moment { now, jitter: 0.5 }) else {
            return;
        };
        match event {
            Event::Suspended => self.order.spec.suspend = Some(true),
            Event::Resumed => self.order.spec.suspend = Some(false),
            _ => {}
        }
        after.apply(&mut self.order, &event, now);
        self.witness(&before, &event, &after.effects, &after.next);
        self.check_limits(&before, &after.next);
        self.check_queue(&event, &before, &after.next, now);
        let read = State::of(&self.order, &columns(&after.next));
        let remembered = |state: &State| State {
            settled_fences: Vec::new(),
            ..state.clone()
        };
        assert_eq!(
            remembered(&read),
            remembered(&after.next),
            "the object says something else after {event:?}"
        );
        self.state = after.next;
    }

    fn witness(&mut self, before: &State, event: &Event, effects: &[Effect], next: &State) {
        for effect in effects {
            match effect {
                Effect::WriteLogEntry(_) => self.seen.entries += 1,
                Effect::SetLease { fence, .. } => self.seen.granted.push(*fence),
                _ => {}
            }
        }
        assert_eq!(
            self.seen.entries,
            usize::from(next.phase.is_terminal()),
            "entries and terminal rows go together"
        );
        if let Event::Completed(report) = event
            && !effects.is_empty()
        {
            assert!(
                self.seen.settled.insert(report.fence),
                "fence {} succeeded twice",
                report.fence
            );
        }
        if before.phase.is_terminal() {
            assert_eq!(before.phase, next.phase, "a terminal phase changed");
        }
        if matches!(event, Event::LeaseLost { .. }) {
            assert_eq!(
                before.retry_count, next.retry_count,
                "a lost lease was charged to the retries"
            );
            self.seen.charged_losses += next.lost_attempts - before.lost_attempts;
        }
    }

    fn check_limits(&self, before: &State, next: &State) {
        assert!(next.retry_count <= next.limits.max_retries);
        assert!(next.lost_attempts <= next.limits.max_lost_attempts);
        assert!(next.retry_count >= before.retry_count && next.lost_attempts >= before.lost_attempts);
        assert!(self.seen.charged_losses <= next.lost_attempts);
        assert!(self.order.status.as_ref().unwrap().attempts.len() <= 10);
    }

    fn check_queue(&self, event: &Event, before: &State, next: &State, now: k8s_openapi::jiff::Timestamp) {
        assert_eq!(
            next.claim.is_some(),
            next.phase.is_held(),
            "a claim and a held phase go together"
        );
        assert_eq!(next.ending.is_some(), next.phase == WorkOrderPhase::Cancelling);
        assert_eq!(
            next.next_retry_after.is_some(),
            next.phase == WorkOrderPhase::RetryPending
        );
        if let Event::Claimed(_) = event
            && next.attempts_made > before.attempts_made
        {
            assert!(!before.suspended && !before.deleting && !before.namespace_terminating);
            assert!(
                before.next_retry_after.is_none_or(|until| until <= now),
                "claimed within the backoff"
            );
        }
        if next.is_claimable() {
            assert!(!next.suspended && !next.deleting && next.next_retry_after.is_none());
        }
    }
}

/// How many histories are lived through; `hack/soak.sh` asks for more.
fn histories() -> u32 {
    let asked = std::env::var("BROKKR_SOAK_HISTORIES");
    asked.map_or(2000, |text| {
        text.parse()
            .expect("BROKKR_SOAK_HISTORIES is a number of histories")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: histories(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_laws(
        side_effects in prop::sample::select(vec![SideEffects::None, SideEffects::Idempotent, SideEffects::NonIdempotent]),
        ttl in prop::sample::select(vec![-1_i64, 0, 100]),
        namespace_terminating in prop::bool::weighted(0.1),
        another_agent_targeted in any::<bool>(),
        steps in prop::collection::vec((moves(), prop_oneof![3 => 0_i64..5, 2 => 30_i64..200, 1 => 3000_i64..9000]), 1..60),
    ) {
        let order = created(&side_effects, ttl);
        let columns = QueueColumns { namespace_terminating, another_agent_targeted, ..QueueColumns::default() };
        let state = State::of(&order, &columns);
        let mut history = History { order, state, seconds: 0, version: 1000, seen: Witness::default() };
        for (step, seconds) in &steps {
            history.step(step, *seconds);
        }
    }
}
