//! What the statement of claims finds: callers, answers given before, and the orders that could be had.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use brokkr_apis::work::v1alpha1::Fence;
use generic_apiserver::mutant;
use jiff::Timestamp;
use serde::Deserialize;

use super::ClaimRefusal;
use super::refusal::HeldBy;
use super::request::{ClaimInput, Grant};
use crate::lifecycle::Refusal;
use crate::queue::order::OrderRow;

/// One row of the statement: exactly one of the fields is given.
#[derive(Debug, Deserialize)]
pub struct ClaimRow {
    pub(super) caller: Option<CallerRow>,
    pub(super) answered: Option<AnsweredRow>,
    pub(super) order: Option<CandidateRow>,
}

/// The agent that claims.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallerRow {
    pub(super) input: usize,
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
pub(super) struct AnsweredRow {
    pub(super) input: usize,
    pub(super) body_hash: String,
    pub(super) grants: Vec<Grant>,
}

/// An order that some caller asks for or could get.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CandidateRow {
    pub(super) uid: String,
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
    pub(super) key: (String, String),
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
    pub(super) fn new(row: CandidateRow) -> Self {
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

impl CandidateRow {
    /// Priority, then namespaces in turn, then age.
    pub(super) fn claim_order(&self) -> (Reverse<i64>, Option<i64>, Timestamp, &str) {
        (Reverse(self.priority), self.turn, self.created_at, &self.uid)
    }
}

impl CallerRow {
    /// What its agent holds before the batch.
    pub(super) fn usage(&self) -> Usage {
        Usage {
            total: self.total,
            by_type: self.by_type.clone(),
            held: self.held.clone(),
        }
    }

    pub(super) fn serves(&self, work_type: &str) -> bool {
        self.served.is_empty() || self.served.iter().any(|served| served == work_type)
    }
}

impl Usage {
    /// Counts an order that was granted.
    pub(super) fn count(&mut self, work_type: String) {
        *self.held.entry(work_type).or_default() += 1;
    }

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
