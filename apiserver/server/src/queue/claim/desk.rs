//! The state of deciding one batch of claims: what the statement found, and what has been granted so far.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use brokkr_apis::work::v1alpha1::Fence;
use generic_apiserver::mutant;
use generic_apiserver::storage::{StorageError, Versions};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::refusal::HeldBy;
use super::request::{ClaimInput, Grant, unfinished_children};
use super::{ClaimAnswer, ClaimRefusal};
use crate::lifecycle::{ClaimRequest, Effect, Event, Refusal, transition};
use crate::queue::order::{OrderRow, QueuedOrder};
use crate::queue::rows;
use crate::queue::written::{Step, Written, fence, moment};

/// One row of the statement: exactly one of the fields is given.
#[derive(Debug, Deserialize)]
pub struct ClaimRow {
    caller: Option<CallerRow>,
    answered: Option<AnsweredRow>,
    order: Option<CandidateRow>,
}

/// The agent that claims.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallerRow {
    input: usize,
    pub(super) unschedulable: bool,
    pub(super) lease_seconds: i64,
    total: i64,
    by_type: BTreeMap<String, i64>,
    held: BTreeMap<String, i64>,
    /// The work types it serves; empty = all.
    served: Vec<String>,
    /// The target sets it draws from.
    pub(super) sets: Vec<i64>,
}

/// An answer given before to the same request id.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnsweredRow {
    input: usize,
    body_hash: String,
    grants: Vec<Grant>,
}

/// An order that some caller asks for or could get.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CandidateRow {
    uid: String,
    namespace: String,
    name: String,
    pub(super) work_type: String,
    priority: i64,
    turn: Option<i64>,
    created_at: Timestamp,
    pub(super) target_set: Option<i64>,
    pub(super) last_agent: Option<String>,
    pub(super) ready_since: Option<Timestamp>,
    /// Which of the callers' agents are targeted.
    pub(super) targeted: Vec<String>,
    /// Whether an agent other than the last one waits for such work.
    pub(super) other_idle: bool,
    pub(super) state: OrderRow,
}

/// An order and what this batch has made of it.
pub(super) struct Candidate {
    pub(super) row: CandidateRow,
    key: (String, String),
    pub(super) taken: Option<Taken>,
}

/// Who has got an order earlier in the batch.
pub(super) struct Taken {
    held: HeldBy,
    /// What was granted, when it was asked for by name: the holder may repeat itself.
    again: Option<Grant>,
}

impl Taken {
    pub(super) fn by(input: &ClaimInput, grant: &Grant) -> Self {
        let held = HeldBy {
            agent: input.agent.clone(),
            holder: input.holder.clone(),
            fence: grant.fence.unwrap_or(Fence(0)),
            expires_at: grant.expires_at,
        };
        Self { held, again: None }
    }

    pub(super) fn by_name(input: &ClaimInput, grant: &Grant) -> Self {
        Self {
            again: Some(grant.clone()),
            ..Self::by(input, grant)
        }
    }

    /// What the holder is given when it asks again.
    pub(super) fn again(&self, input: &ClaimInput) -> Option<&Grant> {
        let same = self.held.agent == input.agent && self.held.holder == input.holder;
        self.again.as_ref().filter(|_| same)
    }

    /// What others are told that ask by name.
    pub(super) fn refusal(&self) -> ClaimRefusal {
        let refusal = Refusal::Held {
            agent: self.held.agent.clone(),
            until: Some(self.held.expires_at),
        };
        let held = Some(self.held.clone());
        ClaimRefusal::State { refusal, held }
    }
}

impl Candidate {
    fn new(row: CandidateRow) -> Self {
        Self {
            key: (row.namespace.clone(), row.name.clone()),
            row,
            taken: None,
        }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.key.0
    }
}

/// How many orders an agent holds, counting those granted in this batch.
#[derive(Clone, Debug)]
pub(super) struct Usage {
    total: i64,
    by_type: BTreeMap<String, i64>,
    held: BTreeMap<String, i64>,
}

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
        let known = || Usage {
            total: caller.total,
            by_type: caller.by_type.clone(),
            held: caller.held.clone(),
        };
        self.usage.entry(input.agent.clone()).or_insert_with(known);
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
            *usage.held.entry(work_type).or_default() += 1;
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

impl CandidateRow {
    /// Priority, then namespaces in turn, then age.
    fn claim_order(&self) -> (Reverse<i64>, Option<i64>, Timestamp, &str) {
        (Reverse(self.priority), self.turn, self.created_at, &self.uid)
    }
}

impl CallerRow {
    pub(super) fn serves(&self, work_type: &str) -> bool {
        self.served.is_empty() || self.served.iter().any(|served| served == work_type)
    }
}

impl Usage {
    /// How many orders of any type the agent may still take.
    pub(super) fn free(&self) -> i64 {
        (self.total - self.held.values().sum::<i64>()).max(0)
    }

    /// Held and limit, where the agent may take no more of the type.
    pub(super) fn exhausted(&self, work_type: &str) -> Option<(i64, i64)> {
        if mutant!("i7-concurrency-ignored") {
            return None;
        }
        let held_total: i64 = self.held.values().sum();
        if held_total >= self.total {
            return Some((held_total, self.total));
        }
        let limit = *self.by_type.get(work_type)?;
        let held = self.held.get(work_type).copied().unwrap_or(0);
        (held >= limit).then_some((held, limit))
    }
}
