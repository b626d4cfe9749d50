//! The doorbell: a follower of batches that raises `status.wake` of the agents concerned. New orders have none while
//! nobody is idle.
//!
//! Orders that have become claimable ring idle agents that match, as many as there are orders; a claim
//! that is to end, or that somebody else has ended, rings its holder. A ring is an event of the Agent
//! object in the transaction of its cause. It is a hint: who misses it polls.
//! Agents that may claim in some namespaces only are asked about before they are rung ([`limited`]).

mod again;
mod limited;

use std::collections::BTreeSet;

use brokkr_apis::work::v1alpha1::{Agent, Attempt, AttemptOutcome, WorkOrder, WorkOrderPhase};
use generic_apiserver::object::Object;
use generic_apiserver::storage::mutation::{Follower, SetOutcome, VersionedWrite};
use generic_apiserver::storage::{
    Change, ObjectWrite, ResourceVersion, SetMutation, StorageError, Stored, Versions,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::again::{RingAgain, RingAgainInput};
pub(in crate::queue) use self::limited::LimitedRings;

use super::metrics::{QueueMetrics, RingCause};
use super::rows;
use super::targets::enters_queue;
use crate::registry::agent::table::{AGENTS, table};
use crate::registry::work_order::table::WORK_ORDERS;

/// The name of the follower that rings.
pub(super) const RING: &str = "ring";

/// The follower that rings.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    metrics: QueueMetrics,
}

impl Ring {
    /// Rings are counted there, when they are decided: a batch that fails has rung nobody and is decided again.
    pub(super) const fn counting(metrics: QueueMetrics) -> Self {
        Self { metrics }
    }
}

/// One reason to ring.
#[derive(Clone, Debug, Serialize)]
pub struct RingInput {
    /// An order that became claimable.
    uid: Option<String>,
    /// A holder whose claim is to end or has ended.
    agent: Option<String>,
}

/// One row of the statement: exactly one of the fields is given.
#[derive(Debug, Deserialize)]
pub struct RingRow {
    candidates: Option<Candidates>,
    agent: Option<AgentRow>,
}

/// Idle agents for orders that are alike, in the order in which they are rung.
#[derive(Debug, Deserialize)]
struct Candidates {
    orders: usize,
    agents: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct AgentRow {
    version: u64,
    object: String,
}

impl SetMutation for Ring {
    type Input = RingInput;
    type Row = RingRow;
    type Output = ();

    fn name(&self) -> &'static str {
        RING
    }

    fn statement(&self) -> &'static str {
        include_str!("ring.sql")
    }

    fn decide(
        &self,
        inputs: &[RingInput],
        rows: Vec<RingRow>,
        versions: &mut Versions,
        _now: Timestamp,
    ) -> Result<SetOutcome<()>, StorageError> {
        let holders = inputs.iter().filter_map(|input| input.agent.clone()).collect();
        let outcome = ring(rows, &holders, versions, Vec::new())?;
        // Each idle agent has a row that says it was rung.
        let idle = outcome.rows.len();
        self.metrics.rung(RingCause::Claimable, idle);
        self.metrics.rung(RingCause::Holder, outcome.objects.len() - idle);
        Ok(outcome)
    }
}

impl Follower for Ring {
    fn inputs(&self, changes: &[Change]) -> Vec<RingInput> {
        let orders = changes.iter().filter(|change| change.resource == WORK_ORDERS);
        orders.flat_map(reasons_to_ring).collect()
    }
}

/// Raises the bell of the holders, and of as many idle agents as there are orders.
fn ring<Output>(
    rows: Vec<RingRow>,
    holders: &BTreeSet<String>,
    versions: &mut Versions,
    outputs: Vec<Output>,
) -> Result<SetOutcome<Output>, StorageError> {
    let idle = choose(rows.iter().filter_map(|row| row.candidates.as_ref()));
    let mut outcome = SetOutcome {
        objects: Vec::new(),
        rows: Vec::new(),
        new_rows: Vec::new(),
        outputs,
    };
    for row in rows.into_iter().filter_map(|row| row.agent) {
        let old = table().stored(ResourceVersion::new(row.version), row.object)?;
        let chosen = idle.contains(&old.key.name);
        if !chosen && !holders.contains(&old.key.name) {
            continue;
        }
        if chosen {
            outcome
                .rows
                .push(rows::row(rows::SET_RUNG, json!({"agent": old.key.name})));
        }
        let mut agent: Agent = parse(&old)?;
        agent.status.get_or_insert_default().wake += 1;
        let object = Object::from_typed(&agent)
            .map_err(|error| StorageError::Corrupt(format!("agent cannot be encoded: {error}")))?;
        let write = ObjectWrite::Replace {
            resource: AGENTS,
            old,
            object,
        };
        outcome.objects.push(VersionedWrite {
            version: versions.draw(),
            write,
        });
    }
    Ok(outcome)
}

/// One agent for each order; nobody is rung for two kinds of orders.
fn choose<'a>(candidates: impl Iterator<Item = &'a Candidates>) -> BTreeSet<String> {
    let mut chosen = BTreeSet::new();
    for kind in candidates {
        let free: Vec<_> = kind
            .agents
            .iter()
            .filter(|agent| !chosen.contains(*agent))
            .take(kind.orders)
            .cloned()
            .collect();
        chosen.extend(free);
    }
    chosen
}

fn parse<T: serde::de::DeserializeOwned>(stored: &Stored) -> Result<T, StorageError> {
    serde_json::from_slice(&stored.encoded).map_err(|error| {
        StorageError::Corrupt(format!(
            "object {} at version {}: {error}",
            stored.key, stored.version
        ))
    })
}

fn reasons_to_ring(change: &Change) -> Vec<RingInput> {
    let waiting = change
        .new
        .as_ref()
        .filter(|new| enters_queue(change.old.as_ref(), new));
    let waiting = waiting.map(|new| RingInput {
        uid: new.metadata.uid.clone(),
        agent: None,
    });
    let holder = holder_to_ring(change).map(|agent| RingInput {
        uid: None,
        agent: Some(agent),
    });
    waiting.into_iter().chain(holder).collect()
}

/// The agent of the claim before, if it does not know yet that its claim ends or has ended.
fn holder_to_ring(change: &Change) -> Option<String> {
    let held = change.old.as_ref().filter(|old| {
        old.fields
            .get("status.claim.agent")
            .is_some_and(|agent| !agent.is_empty())
    })?;
    let new = change.new.as_ref().or(change.last.as_ref())?;
    let (old, new): (WorkOrder, WorkOrder) = (parse(held).ok()?, parse(new).ok()?);
    let (before, after) = (old.status?, new.status.unwrap_or_default());
    let claim = before.claim?;
    let told = match after.claim {
        Some(now) if now.fence == claim.fence => {
            !(after.phase == WorkOrderPhase::Cancelling && before.phase != WorkOrderPhase::Cancelling)
        }
        // Taken over by another process of the same agent.
        Some(_) => false,
        None => after.attempts.last().is_some_and(is_own_report),
    };
    (!told).then_some(claim.agent)
}

/// Whether the holder itself has ended the attempt.
fn is_own_report(attempt: &Attempt) -> bool {
    let reported = |outcome| match outcome {
        AttemptOutcome::Succeeded | AttemptOutcome::Failed | AttemptOutcome::Cancelled => true,
        AttemptOutcome::Lost | AttemptOutcome::Released | AttemptOutcome::Unknown => false,
    };
    attempt.outcome.is_some_and(reported)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(orders: usize, agents: &[&str]) -> Candidates {
        Candidates {
            orders,
            agents: agents.iter().map(|agent| (*agent).to_owned()).collect(),
        }
    }

    #[test]
    fn as_many_agents_are_rung_as_there_are_orders() {
        let chosen = choose([kind(2, &["a", "b", "c"])].iter());
        assert_eq!(chosen.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn agent_that_is_rung_already_leaves_the_order_to_the_next() {
        let chosen = choose([kind(1, &["a", "b"]), kind(1, &["a", "b"])].iter());
        assert_eq!(chosen.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
