//! Which agents an order is for, and when its namespace is served: followers of every batch.
//!
//! New orders get their set of target terms; a set that is new is matched against all agents, once, and
//! an agent that comes, goes or changes its labels is matched against all sets. Orders that enter the
//! queue get their turn: one after the last of their namespace, but never before what waits already.
//! A new order gets set and turn with its row ([`NewOrders`]); what changes later, afterwards ([`TargetSets`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brokkr_apis::work::v1alpha1::{Agent, TargetTerm, WorkOrderPhase};
use generic_apiserver::storage::mutation::{Follower, RowColumns, SetOutcome};
use generic_apiserver::storage::{Change, Key, SetMutation, SideRow, StorageError, Stored, Versions};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{digest, rows};
use crate::registry::agent::table::AGENTS;
use crate::registry::work_order::table::WORK_ORDERS;

/// The follower that keeps target sets, and the turns of orders that come back to the queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct TargetSets;

/// The follower that gives new orders their target set and their turn. Orders come to be by updates alone, which
/// it precedes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewOrders;

/// One change to follow.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TargetInput {
    /// An order that enters the queue, or is new.
    uid: Option<String>,
    namespace: Option<String>,
    /// Of a new order: the digest of its terms.
    hash: Option<String>,
    /// An agent to be matched anew.
    agent: Option<String>,
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    terms: Vec<TargetTerm>,
}

/// One row of the statement: exactly one of the fields is given.
#[derive(Debug, Deserialize)]
pub struct TargetRow {
    /// A set that exists.
    known: Option<KnownSet>,
    /// An agent's object.
    agent: Option<String>,
    set: Option<SetRow>,
    turn: Option<TurnRow>,
    /// The lowest turn of any other order that waits.
    lowest: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct KnownSet {
    hash: String,
    id: i64,
}

#[derive(Debug, Deserialize)]
struct SetRow {
    hash: String,
    terms: Vec<TargetTerm>,
}

#[derive(Debug, Deserialize)]
struct TurnRow {
    namespace: String,
    last: i64,
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
        now: Timestamp,
    ) -> Result<SetOutcome<()>, StorageError> {
        let found = Found::read(rows)?;
        Ok(outcome(found.rematch(inputs), found.turns(inputs, now)))
    }
}

impl SetMutation for NewOrders {
    type Input = TargetInput;
    type Row = TargetRow;
    type Output = ();

    fn name(&self) -> &'static str {
        "new-orders"
    }

    fn statement(&self) -> &'static str {
        include_str!("targets.sql")
    }

    fn decide(
        &self,
        inputs: &[TargetInput],
        rows: Vec<TargetRow>,
        _versions: &mut Versions,
        now: Timestamp,
    ) -> Result<SetOutcome<()>, StorageError> {
        let found = Found::read(rows)?;
        Ok(outcome(found.new_sets(inputs), found.turns(inputs, now)))
    }
}

/// Statements run in the order of their first rows: an agent leaves its sets, or new sets come to be, then there
/// are sets to be a member of and to be of.
fn outcome(mut members: Vec<SideRow>, turns: Turns) -> SetOutcome<()> {
    members.sort_by_key(|row| row.statement == rows::ADD_TARGET_AGENT);
    members.extend(turns.rows);
    SetOutcome {
        objects: Vec::new(),
        rows: members,
        columns: turns.columns,
        outputs: Vec::new(),
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

impl Follower for NewOrders {
    fn inputs(&self, changes: &[Change]) -> Vec<TargetInput> {
        let new = changes
            .iter()
            .filter(|change| change.resource == WORK_ORDERS && change.old.is_none());
        new.filter_map(|change| new_order(change.new.as_ref()?)).collect()
    }

    fn precedes(&self) -> bool {
        true
    }
}

fn new_order(order: &Stored) -> Option<TargetInput> {
    #[derive(Deserialize)]
    struct Spec {
        #[serde(default)]
        targets: Vec<TargetTerm>,
    }
    #[derive(Deserialize)]
    struct Order {
        spec: Spec,
    }
    // What cannot be read matches nobody rather than everybody.
    let terms = serde_json::from_slice::<Order>(&order.encoded).ok()?.spec.targets;
    Some(TargetInput {
        hash: Some(digest::sha256_hex(&rows::text(&terms))),
        terms,
        ..order_input(order)
    })
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
        name: order.key.name.clone(),
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
    known: BTreeMap<String, i64>,
    agents: Vec<Agent>,
    sets: Vec<SetRow>,
    turns: BTreeMap<String, i64>,
    lowest: Option<i64>,
}

impl Found {
    fn read(rows: Vec<TargetRow>) -> Result<Self, StorageError> {
        let mut found = Self::default();
        for row in rows {
            found.known.extend(row.known.map(|set| (set.hash, set.id)));
            found.sets.extend(row.set);
            found
                .turns
                .extend(row.turn.map(|turn| (turn.namespace, turn.last)));
            found.lowest = found.lowest.or(row.lowest);
            if let Some(agent) = row.agent {
                let agent = serde_json::from_str(&agent)
                    .map_err(|error| StorageError::Corrupt(format!("stored agent: {error}")))?;
                found.agents.push(agent);
            }
        }
        Ok(found)
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

    /// Matches all agents against the sets that are new.
    fn new_sets(&self, inputs: &[TargetInput]) -> Vec<SideRow> {
        let mut rows = Vec::new();
        let mut seen = BTreeSet::new();
        for input in inputs {
            let Some(hash) = input.hash.as_ref().filter(|hash| !self.known.contains_key(*hash)) else {
                continue;
            };
            if !seen.insert(hash) {
                continue;
            }
            rows.push(rows::row(
                rows::ADD_TARGET_SET,
                json!({"hash": hash, "terms": rows::text(&input.terms)}),
            ));
            for agent in self
                .agents
                .iter()
                .filter(|agent| TargetTerm::any_matches(&input.terms, agent))
            {
                rows.push(member(hash, agent.metadata.name.as_deref().unwrap_or_default()));
            }
        }
        rows
    }

    /// Gives every order its turn, in the order of the batch.
    fn turns(&self, inputs: &[TargetInput], now: Timestamp) -> Turns {
        let mut last = self.turns.clone();
        let mut lowest = self.lowest;
        let mut turns = Turns::default();
        for input in inputs {
            let (Some(uid), Some(namespace)) = (&input.uid, &input.namespace) else {
                continue;
            };
            let next = last.get(namespace).map_or(1, |last| last + 1);
            let turn = lowest.map_or(next, |lowest| next.max(lowest));
            last.insert(namespace.clone(), turn);
            lowest = Some(lowest.map_or(turn, |lowest| lowest.min(turn)));
            match &input.hash {
                None => turns
                    .rows
                    .push(rows::row(rows::SET_TURN, json!({"uid": uid, "turn": turn}))),
                Some(hash) => self.place(input, uid, hash, turn, now, &mut turns),
            }
        }
        let used: BTreeSet<_> = inputs
            .iter()
            .filter_map(|input| input.namespace.clone())
            .collect();
        let given = used
            .into_iter()
            .filter_map(|namespace| last.get(&namespace).map(|turn| (namespace, *turn)));
        turns.rows.extend(given.map(|(namespace, turn)| {
            rows::row(
                rows::SET_NAMESPACE_TURN,
                json!({"namespace": namespace, "turn": turn}),
            )
        }));
        turns
    }

    /// Gives a new order its set and its turn: with its row, unless the set is as new and its id not known yet.
    fn place(
        &self,
        input: &TargetInput,
        uid: &str,
        hash: &str,
        turn: i64,
        now: Timestamp,
        turns: &mut Turns,
    ) {
        let Some(id) = self.known.get(hash) else {
            let row = json!({"uid": uid, "hash": hash, "turn": turn});
            turns.rows.push(rows::row(rows::SET_TARGETS, row));
            return;
        };
        let namespace = input.namespace.clone().unwrap_or_default();
        let columns = [
            ("target_set_id", json!(id)),
            ("turn", json!(turn)),
            ("ready_since", json!(now)),
        ];
        turns.columns.push(RowColumns {
            resource: WORK_ORDERS,
            key: Key::namespaced(namespace, input.name.clone()),
            columns: columns
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        });
    }
}

/// The turns that were given.
#[derive(Debug, Default)]
struct Turns {
    columns: Vec<RowColumns>,
    rows: Vec<SideRow>,
}

fn member(hash: &str, agent: &str) -> SideRow {
    rows::row(rows::ADD_TARGET_AGENT, json!({"hash": hash, "agent": agent}))
}

#[cfg(test)]
mod tests;
