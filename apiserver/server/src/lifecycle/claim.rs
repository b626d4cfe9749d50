//! Getting and keeping a claim: claim, renewal, release, and the loss of a lease.

use brokkr_apis::work::v1alpha1::reasons::AGENT_LOST;
use brokkr_apis::work::v1alpha1::{
    AttemptOutcome, FailureClass, Fence, Progress, ProgressPhase, WorkOrderPhase,
};

use generic_apiserver::mutant;

use super::completion::{end_attempt, fail_for_namespace, fail_unobserved};
use super::effect::{AttemptEnd, Effect, Transition};
use super::ending::end;
use super::state::after;
use super::{Claim, ClaimRequest, Moment, Refusal, State};

/// An agent claims the order, gets its own claim back, or takes over from an earlier process of itself.
pub(super) fn claimed(state: &State, request: &ClaimRequest, at: Moment) -> Result<Transition, Refusal> {
    match state.phase {
        WorkOrderPhase::Pending => grant(state, request, at),
        // The sweep that ends the backoff may be late; the time is what counts.
        WorkOrderPhase::RetryPending => match state.next_retry_after {
            Some(until) if at.now < until && !mutant!("i7-claimed-before-its-time") => {
                Err(Refusal::NotDue { until })
            }
            Some(_) | None => grant(state, request, at),
        },
        WorkOrderPhase::Claimed | WorkOrderPhase::Running | WorkOrderPhase::Cancelling => {
            claim_held(state, request, at)
        }
        WorkOrderPhase::Succeeded | WorkOrderPhase::Failed | WorkOrderPhase::Cancelled => {
            Err(Refusal::Finished { phase: state.phase })
        }
    }
}

/// Begins a new attempt.
fn grant(state: &State, request: &ClaimRequest, at: Moment) -> Result<Transition, Refusal> {
    if state.namespace_terminating && !mutant!("i7-claimed-in-a-terminating-namespace") {
        return Err(Refusal::NamespaceTerminating);
    }
    if state.suspended && !mutant!("i7-claimed-though-suspended") {
        return Err(Refusal::Suspended);
    }
    let mut step = Transition::unchanged(state);
    step.next.phase = WorkOrderPhase::Claimed;
    if !mutant!("i8-stale-retry-timer") {
        step.next.next_retry_after = None;
    }
    step.next.attempts_made += 1;
    let number = step.next.attempts_made;
    let step = set_claim(step.with(Effect::AttemptStarted { number }), request, at);
    Ok(step.saying(format!("attempt {number} claimed by agent {}", request.agent)))
}

/// A claim of an order that is held already.
fn claim_held(state: &State, request: &ClaimRequest, at: Moment) -> Result<Transition, Refusal> {
    let Some(claim) = &state.claim else {
        return Err(Refusal::Superseded);
    };
    if claim.agent != request.agent && !mutant!("i7-order-of-another-agent-claimed") {
        let until = if claim.lapsed {
            state.attempt_deadline()
        } else {
            Some(claim.expires_at)
        };
        return Err(Refusal::Held {
            agent: claim.agent.clone(),
            until,
        });
    }
    if claim.holder == request.holder {
        // The answer to the first claim was lost; asking again is also a sign of life.
        return renewed(state, claim.fence, at);
    }
    if !request.takeover {
        return Err(Refusal::HeldByOtherProcess {
            agent: claim.agent.clone(),
            holder: claim.holder.clone(),
        });
    }
    let mut step = Transition::unchanged(state);
    if claim.lapsed {
        step = step.with(Effect::ClearLapsed);
    }
    // A takeover is the same attempt: the process changes, the work does not.
    let claimed_at = claim.claimed_at;
    let kept = mutant!("i6-takeover-keeps-the-fence").then(|| ClaimRequest {
        fence: claim.fence,
        ..request.clone()
    });
    step = set_claim(step, kept.as_ref().unwrap_or(request), at);
    if let Some(claim) = &mut step.next.claim {
        claim.claimed_at = claimed_at;
    }
    Ok(step.saying(format!(
        "taken over by another process of agent {}",
        request.agent
    )))
}

fn set_claim(mut step: Transition, request: &ClaimRequest, at: Moment) -> Transition {
    let expires_at = after(at.now, request.lease_seconds);
    step.next.claim = Some(Claim {
        agent: request.agent.clone(),
        holder: request.holder.clone(),
        fence: request.fence,
        claimed_at: at.now,
        lease_seconds: request.lease_seconds,
        expires_at,
        lapsed: false,
    });
    step.with(Effect::SetLease {
        agent: request.agent.clone(),
        holder: request.holder.clone(),
        fence: request.fence,
        expires_at,
    })
}

/// The claim with this fence, if it is the current one.
pub(super) fn current(state: &State, fence: Fence) -> Result<&Claim, Refusal> {
    state
        .claim
        .as_ref()
        .filter(|claim| claim.fence == fence)
        .ok_or(Refusal::FenceSpent)
}

/// The holder keeps its claim.
pub(super) fn renewed(state: &State, fence: Fence, at: Moment) -> Result<Transition, Refusal> {
    let claim = current(state, fence)?;
    let expires_at = after(at.now, claim.lease_seconds);
    let lapsed = claim.lapsed;
    let mut step = Transition::unchanged(state);
    if let Some(claim) = &mut step.next.claim {
        claim.expires_at = expires_at;
        claim.lapsed = false;
    }
    if lapsed {
        step = step.with(Effect::ClearLapsed);
    }
    Ok(step.with(Effect::RenewLease { expires_at }))
}

/// The holder keeps its claim and says how far it is.
pub(super) fn progress(
    state: &State,
    fence: Fence,
    progress: &Progress,
    at: Moment,
) -> Result<Transition, Refusal> {
    let mut step = renewed(state, fence, at)?;
    let agent = state
        .claim
        .as_ref()
        .map(|claim| claim.agent.as_str())
        .unwrap_or_default();
    let starts = progress.phase == Some(ProgressPhase::Running) && state.phase == WorkOrderPhase::Claimed;
    if starts {
        step.next.phase = WorkOrderPhase::Running;
    }
    // While cancelling, the message says who asked for the end.
    if state.phase != WorkOrderPhase::Cancelling {
        let spoken = progress.message.clone().filter(|message| !message.is_empty());
        step.message = spoken.or_else(|| starts.then(|| format!("running on agent {agent}")));
    }
    Ok(step.with(Effect::RecordProgress))
}

/// The holder gives the order back without having done it.
pub(super) fn released(
    state: &State,
    fence: Option<Fence>,
    by: &str,
    reason: &str,
    at: Moment,
) -> Result<Transition, Refusal> {
    current(state, fence.ok_or(Refusal::FenceSpent)?)?;
    if state.phase == WorkOrderPhase::Running && state.may_do_harm() {
        return Err(Refusal::ExecutionStarted);
    }
    Ok(release(state, by, reason, false, at))
}

/// An operator takes the order from its holder.
pub(super) fn released_by_force(
    state: &State,
    by: &str,
    reason: &str,
    at: Moment,
) -> Result<Transition, Refusal> {
    match state.phase {
        WorkOrderPhase::Claimed | WorkOrderPhase::Running | WorkOrderPhase::Cancelling => {
            Ok(release(state, by, reason, true, at))
        }
        WorkOrderPhase::Pending | WorkOrderPhase::RetryPending => Err(Refusal::NotHeld),
        WorkOrderPhase::Succeeded | WorkOrderPhase::Failed | WorkOrderPhase::Cancelled => {
            Err(Refusal::Finished { phase: state.phase })
        }
    }
}

fn release(state: &State, by: &str, reason: &str, force: bool, at: Moment) -> Transition {
    let how = if force { "released by force" } else { "released" };
    let why = if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    };
    let message = format!("{how} by {by}{why}");
    let attempt_end = AttemptEnd {
        outcome: AttemptOutcome::Released,
        class: None,
        reason: Some(message.clone()),
        rule: Some(if force { "ForcedRelease" } else { "Release" }),
    };
    // The holder itself knows that its claim is gone; one that was robbed has to be told.
    let step = end_attempt(state, attempt_end, force);
    if state.phase == WorkOrderPhase::Cancelling {
        return end(step, true, at).saying(message);
    }
    if state.namespace_terminating {
        return fail_for_namespace(step, force, at);
    }
    requeue(step).saying(message)
}

/// Puts the order back into the queue, to be claimed at once.
pub(super) fn requeue(mut step: Transition) -> Transition {
    step.next.phase = WorkOrderPhase::Pending;
    if step.next.is_claimable() {
        step.with(Effect::MakeClaimable)
    } else {
        step
    }
}

/// The lease ran out. Work that may run twice goes to somebody else; work that must not waits for its holder.
pub(super) fn lease_lost(state: &State, fence: Fence, at: Moment) -> Result<Transition, Refusal> {
    let claim = current(state, fence).map_err(|_| Refusal::Superseded)?;
    if state.may_do_harm() {
        return lapse(state, claim);
    }
    let agent = claim.agent.clone();
    let attempt_end = AttemptEnd {
        outcome: AttemptOutcome::Lost,
        class: Some(FailureClass::RetryableNotCharged),
        reason: Some(AGENT_LOST.to_owned()),
        rule: Some("LeaseLost"),
    };
    let mut step = end_attempt(state, attempt_end, true);
    if state.phase == WorkOrderPhase::Cancelling {
        return Ok(end(step, true, at));
    }
    if state.namespace_terminating {
        return Ok(fail_for_namespace(step, true, at));
    }
    if state.lost_attempts >= state.limits.max_lost_attempts && !mutant!("i8-lost-for-ever") {
        let message = format!(
            "agent {agent} was lost, and {} attempts before",
            state.lost_attempts
        );
        return Ok(fail_unobserved(step, AGENT_LOST, FailureClass::RetryableNotCharged, at).saying(message));
    }
    step.next.lost_attempts += 1;
    let (lost, limit) = (step.next.lost_attempts, state.limits.max_lost_attempts);
    Ok(requeue(step).saying(format!(
        "agent {agent} was lost ({lost} of {limit}); waiting for another claim"
    )))
}

fn lapse(state: &State, claim: &Claim) -> Result<Transition, Refusal> {
    if claim.lapsed {
        return Err(Refusal::Superseded);
    }
    let mut step = Transition::unchanged(state);
    if let Some(claim) = &mut step.next.claim {
        claim.lapsed = true;
    }
    let message = format!(
        "agent {} has stopped renewing its claim; the order must not run twice and waits for it",
        claim.agent
    );
    Ok(step.with(Effect::MarkLapsed).saying(message))
}
