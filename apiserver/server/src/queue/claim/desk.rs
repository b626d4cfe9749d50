//! The state of deciding one batch of claims: what the statement found, and what has been granted so far.

use std::collections::{BTreeMap, HashMap};

use generic_apiserver::mutant;
use generic_apiserver::storage::{StorageError, Versions};
use jiff::Timestamp;
use serde_json::json;

use super::found::{AnsweredRow, CallerRow, Candidate, ClaimRow, Usage};
use super::request::{ClaimInput, Grant, unfinished_children};
use super::{ClaimAnswer, ClaimRefusal};
use crate::lifecycle::{ClaimRequest, Effect, Event, Refusal, transition};
use crate::queue::order::QueuedOrder;
use crate::queue::rows;
use crate::queue::written::{Step, Written, fence, moment};

/// An agent that could take more than it got.
struct Wait {
    /// Whether it got something.
    served: bool,
    /// Who asks, as JSON, unless it may claim everywhere.
    limited_user: Option<String>,
}

/// Everything a batch of claims is decided with.
pub(super) struct Desk<'a> {
    callers: HashMap<usize, CallerRow>,
    answered: HashMap<usize, AnsweredRow>,
    /// In the claim order.
    pub(super) candidates: Vec<Candidate>,
    by_key: HashMap<(String, String), usize>,
    by_uid: HashMap<String, usize>,
    usage: HashMap<String, Usage>,
    /// Answers to request ids given in this batch.
    fresh: HashMap<(String, String), (String, ClaimAnswer)>,
    idle: BTreeMap<String, Option<Wait>>,
    written: Written,
    versions: &'a mut Versions,
    pub(super) now: Timestamp,
}

impl<'a> Desk<'a> {
    pub(super) fn new(rows: Vec<ClaimRow>, versions: &'a mut Versions, now: Timestamp) -> Self {
        let mut desk = Self {
            callers: HashMap::new(),
            answered: HashMap::new(),
            candidates: Vec::new(),
            by_key: HashMap::new(),
            by_uid: HashMap::new(),
            usage: HashMap::new(),
            fresh: HashMap::new(),
            idle: BTreeMap::new(),
            written: Written::default(),
            versions,
            now,
        };
        for row in rows {
            desk.callers
                .extend(row.caller.map(|caller| (caller.input, caller)));
            desk.answered
                .extend(row.answered.map(|answered| (answered.input, answered)));
            desk.candidates.extend(row.order.map(Candidate::new));
        }
        desk.index();
        desk
    }

    fn index(&mut self) {
        self.candidates
            .sort_by(|a, b| a.row.claim_order().cmp(&b.row.claim_order()));
        for (index, candidate) in self.candidates.iter().enumerate() {
            self.by_uid.insert(candidate.row.uid.clone(), index);
            self.by_key.insert(candidate.key.clone(), index);
        }
    }

    /// Decides one claim. Callers are asked in the order of their inputs, counted from 1 by the statement.
    pub(super) fn answer(&mut self, index: usize, input: &ClaimInput) -> Result<ClaimAnswer, StorageError> {
        let request = input.request_id.clone().map(|id| (input.agent.clone(), id));
        if let Some((body_hash, answer)) = request.as_ref().and_then(|request| self.fresh.get(request)) {
            return Ok(if *body_hash == input.body_hash {
                answer.clone()
            } else {
                Err(ClaimRefusal::RequestReused)
            });
        }
        if let Some(answered) = self.answered.remove(&(index + 1)) {
            return self.replay(answered, input);
        }
        let Some(caller) = self.callers.remove(&(index + 1)) else {
            return Ok(Err(ClaimRefusal::NoAgent));
        };
        self.usage
            .entry(input.agent.clone())
            .or_insert_with(|| caller.usage());
        let answer = match &input.named {
            Some(named) => self.claim_named(input, named, &caller)?,
            None => Ok(self.claim_batch(input, &caller)?),
        };
        if let Some(request) = request.filter(|_| !input.dry_run) {
            self.remember(request, input, &answer);
        }
        Ok(answer)
    }

    /// Only grants are kept: a refusal may turn into a grant when it is asked again.
    fn remember(&mut self, (agent, id): (String, String), input: &ClaimInput, answer: &ClaimAnswer) {
        if let Ok(grants) = answer
            && !grants.is_empty()
        {
            let row = json!({"agent": agent, "request_id": id, "body_hash": input.body_hash, "answer": rows::text(grants)});
            self.written.rows.push(rows::row(rows::SET_CLAIM_REQUEST, row));
            self.fresh
                .insert((agent, id), (input.body_hash.clone(), answer.clone()));
        }
    }

    /// Gives an earlier answer again, with the orders as they are now.
    fn replay(&self, answered: AnsweredRow, input: &ClaimInput) -> Result<ClaimAnswer, StorageError> {
        if answered.body_hash != input.body_hash {
            return Ok(Err(ClaimRefusal::RequestReused));
        }
        let named = input.named.is_some();
        let mut grants = answered.grants;
        for grant in &mut grants {
            let Some(index) = self.by_uid.get(&grant.uid) else {
                continue;
            };
            let queued = self.candidates[*index].row.state.clone().read(false)?;
            let current = queued
                .lease
                .as_ref()
                .is_some_and(|lease| Some(lease.fence) == grant.fence)
                || mutant!("i6-spent-request-gives-its-claim-back");
            grant.unfinished = unfinished_children(&queued.attempts, grant.attempt);
            grant.order = current.then(|| Box::new(queued.order));
        }
        if named && grants.iter().any(|grant| grant.order.is_none()) {
            return Ok(Err(ClaimRefusal::RequestSpent));
        }
        Ok(Ok(grants))
    }

    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<usize> {
        self.by_key.get(&(namespace.to_owned(), name.to_owned())).copied()
    }

    pub(super) fn usage(&self, agent: &str) -> Option<&Usage> {
        self.usage.get(agent)
    }

    pub(super) fn read(&self, index: usize, input: &ClaimInput) -> Result<QueuedOrder, StorageError> {
        let candidate = &self.candidates[index];
        candidate
            .row
            .state
            .clone()
            .read(input.terminating.iter().any(|one| one == candidate.namespace()))
    }

    /// Asks the state machine, and writes what it grants.
    pub(super) fn claim(
        &mut self,
        index: usize,
        queued: &QueuedOrder,
        input: &ClaimInput,
        caller: &CallerRow,
    ) -> Result<Result<Grant, Refusal>, StorageError> {
        let version = self.versions.draw();
        let event = Event::Claimed(ClaimRequest {
            agent: input.agent.clone(),
            holder: input.holder.clone(),
            fence: fence(version),
            takeover: input.named.as_ref().is_some_and(|named| named.takeover),
            lease_seconds: caller.lease_seconds,
        });
        let transition = match transition(&queued.state(), &event, moment(self.now, version)) {
            Ok(transition) => transition,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut discarded = Written::default();
        let written = if input.dry_run {
            &mut discarded
        } else {
            &mut self.written
        };
        let step = Step {
            before: queued,
            event: &event,
            transition: &transition,
            version,
            now: self.now,
            answer: None,
        };
        let order = written.step(&step, self.versions)?;
        let claim = transition.next.claim.as_ref();
        let mut effects = transition.effects.iter();
        let begins = !input.dry_run && effects.any(|effect| matches!(effect, Effect::AttemptStarted { .. }));
        let mut waited = None;
        if begins {
            self.count(&input.agent, index);
            let since = self.candidates[index].row.ready_since;
            waited = since.map(|since| self.now.duration_since(since));
        }
        Ok(Ok(Grant {
            namespace: order.metadata.namespace.clone().unwrap_or_default(),
            name: order.metadata.name.clone().unwrap_or_default(),
            uid: queued.uid().to_owned(),
            fence: claim.map(|claim| claim.fence).filter(|_| !input.dry_run),
            attempt: transition.next.attempts_made,
            expires_at: claim.map_or(self.now, |claim| claim.expires_at),
            waited,
            unfinished: unfinished_children(&queued.attempts, transition.next.attempts_made),
            order: Some(Box::new(order)),
        }))
    }

    fn count(&mut self, agent: &str, index: usize) {
        let work_type = self.candidates[index].row.work_type.clone();
        if let Some(usage) = self.usage.get_mut(agent) {
            usage.count(work_type);
        }
    }

    /// Notes whether the agent waits for more (and whether it got something), or is busy.
    pub(super) fn note_idle(&mut self, input: &ClaimInput, waits: Option<bool>) {
        let wait = waits.map(|served| Wait {
            served,
            limited_user: input.limited_user.as_ref().map(rows::text),
        });
        self.idle.insert(input.agent.clone(), wait);
    }

    /// What is written in the end.
    pub(super) fn close(mut self) -> Written {
        for (agent, wait) in self.idle {
            self.written.rows.push(match wait {
                Some(Wait { served, limited_user }) => rows::row(
                    rows::SET_IDLE,
                    json!({"agent": agent, "served": served, "limited_user": limited_user}),
                ),
                None => rows::row(rows::SET_BUSY, json!({ "agent": agent })),
            });
        }
        self.written
    }
}
