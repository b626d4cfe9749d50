//! Which agents an order is for, and when its namespace is served: a forerunner and a follower of every batch.
//!
//! New orders get their set of target terms and their turn with their rows ([`NewOrders`]). An agent that comes, goes
//! or changes its labels is matched against all sets, and orders that come back to the queue get a new turn
//! ([`TargetSets`]). Sets that no order refers to any more go after a while ([`RemoveSets`]).

mod new_orders;
mod turns;
mod unused;

use std::collections::BTreeSet;
use std::sync::Arc;

use brokkr_apis::work::v1alpha1::{Agent, TargetTerm, WorkOrderPhase};
use generic_apiserver::storage::mutation::{Follower, SetOutcome};
use generic_apiserver::storage::{Change, SetMutation, SideRow, StorageError, Stored, Versions};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::new_orders::{NewOrder, NewOrderRow, NewOrders};
use self::turns::Turns;
pub(in crate::queue) use self::unused::UnusedSets;
pub use self::unused::{Looked, RemoveSets, RemoveSetsInput};
use super::rows;
use crate::registry::agent::table::AGENTS;
use crate::registry::work_order::table::WORK_ORDERS;

/// The follower that keeps target sets, and the turns of orders that come back to the queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct TargetSets;

/// One change to follow: an order that enters the queue again, or an agent to be matched anew.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TargetInput {
    uid: Option<String>,
    namespace: Option<String>,
    agent: Option<String>,
}

/// One row of the statement: exactly one of the fields is given.
#[derive(Debug, Deserialize)]
pub struct TargetRow {
    /// An agent's object.
    agent: Option<String>,
    set: Option<SetRow>,
    turn: Option<TurnRow>,
    /// The lowest turn of any other order that waits.
    lowest: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct SetRow {
    hash: String,
    terms: Vec<TargetTerm>,
}

/// The turn a namespace was last given.
#[derive(Debug, Deserialize)]
struct TurnRow {
    namespace: String,
    last: i64,
}

impl TurnRow {
    fn into_last(self) -> (String, i64) {
        (self.namespace, self.last)
    }
}

impl SetMutation for TargetSets {
    type Input = TargetInput;
    type Row = TargetRow;
    type Output = ();

    fn name(&self) -> &'static str {
        "targets"
    }

    fn statement(&self) -> &'static str {
        include_str!("targets.sql")
    }

    fn decide(
        &self,
        inputs: &[TargetInput],
        rows: Vec<TargetRow>,
        _versions: &mut Versions,
        _now: Timestamp,
    ) -> Result<SetOutcome<()>, StorageError> {
        Ok(Found::read(rows)?.outcome(inputs))
    }
}

impl Follower for TargetSets {
    fn inputs(&self, changes: &[Change]) -> Vec<TargetInput> {
        let input = |change: &Change| match change.resource {
            resource if resource == WORK_ORDERS => returning_order(change),
            resource if resource == AGENTS => agent_input(change),
            _ => None,
        };
        changes.iter().filter_map(input).collect()
    }
}

/// An order that could not be claimed, and now can.
fn returning_order(change: &Change) -> Option<TargetInput> {
    let (old, new) = (change.old.as_ref()?, change.new.as_ref()?);
    enters_queue(Some(old), new).then(|| order_input(new))
}

fn order_input(order: &Stored) -> TargetInput {
    TargetInput {
        uid: order.metadata.uid.clone(),
        namespace: Some(order.key.namespace.clone()),
        ..TargetInput::default()
    }
}

/// Whether the order can be claimed now and could not be before.
pub(super) fn enters_queue(old: Option<&Arc<Stored>>, new: &Stored) -> bool {
    is_claimable(new) && !old.is_some_and(|old| is_claimable(old))
}

fn is_claimable(order: &Stored) -> bool {
    let field = |name| order.fields.get(name).map_or("", String::as_str);
    let phase = field("status.phase");
    // An order that was never written to by the server has no phase yet, and waits.
    (phase == WorkOrderPhase::Pending.as_str() || phase.is_empty()) && field("spec.suspend") != "true"
}

/// An agent whose labels or annotations are not what they were.
fn agent_input(change: &Change) -> Option<TargetInput> {
    let matched = |stored: &Arc<Stored>| {
        (
            stored.metadata.labels.clone(),
            stored.metadata.annotations.clone(),
        )
    };
    let (old, new) = (change.old.as_ref().map(matched), change.new.as_ref().map(matched));
    let name = change.new.as_ref().or(change.old.as_ref())?.key.name.clone();
    (old != new).then(|| TargetInput {
        agent: Some(name),
        ..TargetInput::default()
    })
}

/// What the statement found.
#[derive(Default)]
struct Found {
    agents: Vec<Agent>,
    sets: Vec<SetRow>,
    turns: Turns,
}

impl Found {
    fn read(rows: Vec<TargetRow>) -> Result<Self, StorageError> {
        let mut found = Self::default();
        for row in rows {
            found.sets.extend(row.set);
            found.turns.last.extend(row.turn.map(TurnRow::into_last));
            found.turns.lowest = found.turns.lowest.or(row.lowest);
            found
                .agents
                .extend(row.agent.map(|agent| parse_agent(&agent)).transpose()?);
        }
        Ok(found)
    }

    /// Statements run in the order of their first rows: an agent leaves its sets before it is matched again.
    fn outcome(mut self, inputs: &[TargetInput]) -> SetOutcome<()> {
        let mut rows = self.rematch(inputs);
        rows.sort_by_key(|row| row.statement == rows::ADD_TARGET_AGENT);
        rows.extend(self.turns(inputs));
        SetOutcome {
            objects: Vec::new(),
            rows,
            new_rows: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// Matches changed agents against the sets there are; one that is gone is in none.
    fn rematch(&self, inputs: &[TargetInput]) -> Vec<SideRow> {
        let mut rows = Vec::new();
        for name in inputs
            .iter()
            .filter_map(|input| input.agent.as_ref())
            .collect::<BTreeSet<_>>()
        {
            rows.push(rows::row(rows::DROP_TARGET_AGENT, json!({ "agent": name })));
            match self
                .agents
                .iter()
                .find(|agent| agent.metadata.name.as_ref() == Some(name))
            {
                Some(agent) => {
                    let sets = self
                        .sets
                        .iter()
                        .filter(|set| TargetTerm::any_matches(&set.terms, agent));
                    rows.extend(sets.map(|set| member(&set.hash, name)));
                }
                None => rows.push(rows::row(rows::SET_BUSY, json!({ "agent": name }))),
            }
        }
        rows
    }

    /// Gives every order its turn, in the order of the batch.
    fn turns(&mut self, inputs: &[TargetInput]) -> Vec<SideRow> {
        let mut rows = Vec::new();
        for input in inputs {
            if let (Some(uid), Some(namespace)) = (&input.uid, &input.namespace) {
                let row = json!({"uid": uid, "namespace": namespace, "turn": self.turns.give(namespace)});
                rows.push(rows::row(rows::SET_TURN, row));
            }
        }
        rows
    }
}

fn member(hash: &str, agent: &str) -> SideRow {
    rows::row(rows::ADD_TARGET_AGENT, json!({"hash": hash, "agent": agent}))
}

fn parse_agent(object: &str) -> Result<Agent, StorageError> {
    serde_json::from_str(object).map_err(|error| StorageError::Corrupt(format!("stored agent: {error}")))
}
