//! Which agents an order is for, and when its namespace is served: a follower of every batch.
//!
//! New orders get their set of target terms; a set that is new is matched against all agents, once, and
//! an agent that comes, goes or changes its labels is matched against all sets. Orders that enter the
//! queue get their turn: one after the last of their namespace, but never before what waits already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brokkr_apis::work::v1alpha1::{Agent, TargetTerm, WorkOrder, WorkOrderPhase};
use generic_apiserver::storage::mutation::{Follower, SetOutcome};
use generic_apiserver::storage::{Change, SetMutation, SideRow, StorageError, Stored, Versions};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{digest, rows};
use crate::registry::agent::table::AGENTS;
use crate::registry::work_order::table::WORK_ORDERS;

/// The follower that keeps target sets and turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct TargetSets;

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
    terms: Vec<TargetTerm>,
}

/// One row of the statement: exactly one of the fields is given.
#[derive(Debug, Deserialize)]
pub struct TargetRow {
    /// A set that exists, by its digest.
    known: Option<String>,
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
        _now: Timestamp,
    ) -> Result<SetOutcome<()>, StorageError> {
        let found = Found::read(rows)?;
        let mut rows = found.rematch(inputs);
        rows.extend(found.new_sets(inputs));
        // Statements run in the order of their first rows: an agent leaves its sets, then new sets come to
        // be, then there are sets to be a member of.
        rows.sort_by_key(|row| row.statement == rows::ADD_TARGET_AGENT);
        rows.extend(found.turns(inputs));
        Ok(SetOutcome {
            objects: Vec::new(),
            rows,
            outputs: Vec::new(),
        })
    }
}

impl Follower for TargetSets {
    fn inputs(&self, changes: &[Change]) -> Vec<TargetInput> {
        let input = |change: &Change| match change.resource {
            resource if resource == WORK_ORDERS => order_input(change),
            resource if resource == AGENTS => agent_input(change),
            _ => None,
        };
        changes.iter().filter_map(input).collect()
    }
}

/// A new order, or one that enters the queue.
fn order_input(change: &Change) -> Option<TargetInput> {
    let new = change.new.as_ref()?;
    if !enters_queue(change.old.as_ref(), new) && change.old.is_some() {
        return None;
    }
    let mut input = TargetInput {
        uid: new.metadata.uid.clone(),
        namespace: Some(new.key.namespace.clone()),
        ..TargetInput::default()
    };
    if change.old.is_none() {
        // What cannot be read matches nobody rather than everybody.
        let order: WorkOrder = serde_json::from_slice(&new.encoded).ok()?;
        input.hash = Some(digest::sha256_hex(&rows::text(&order.spec.targets)));
        input.terms = order.spec.targets;
    }
    Some(input)
}

/// Whether the order can be claimed now and could not be before.
pub(super) fn enters_queue(old: Option<&Arc<Stored>>, new: &Stored) -> bool {
    is_claimable(new) && !old.is_some_and(|old| is_claimable(old))
}

fn is_claimable(order: &Stored) -> bool {
    let phase = order.fields.get("status.phase").map_or("", String::as_str);
    // An order that was never written to by the server has no phase yet, and waits.
    (phase == WorkOrderPhase::Pending.as_str() || phase.is_empty()) && !is_suspended(order)
}

fn is_suspended(order: &Stored) -> bool {
    #[derive(Deserialize)]
    struct Spec {
        #[serde(default)]
        suspend: Option<bool>,
    }
    #[derive(Deserialize)]
    struct Order {
        spec: Spec,
    }
    serde_json::from_slice::<Order>(&order.encoded).is_ok_and(|order| order.spec.suspend == Some(true))
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
    known: BTreeSet<String>,
    agents: Vec<Agent>,
    sets: Vec<SetRow>,
    turns: BTreeMap<String, i64>,
    lowest: Option<i64>,
}

impl Found {
    fn read(rows: Vec<TargetRow>) -> Result<Self, StorageError> {
        let mut found = Self::default();
        for row in rows {
            found.known.extend(row.known);
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
            let Some(hash) = input.hash.as_ref().filter(|hash| !self.known.contains(*hash)) else {
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
    fn turns(&self, inputs: &[TargetInput]) -> Vec<SideRow> {
        let mut last = self.turns.clone();
        let mut lowest = self.lowest;
        let mut rows = Vec::new();
        for input in inputs {
            let (Some(uid), Some(namespace)) = (&input.uid, &input.namespace) else {
                continue;
            };
            let next = last.get(namespace).map_or(1, |last| last + 1);
            let turn = lowest.map_or(next, |lowest| next.max(lowest));
            last.insert(namespace.clone(), turn);
            lowest = Some(lowest.map_or(turn, |lowest| lowest.min(turn)));
            rows.push(match &input.hash {
                Some(hash) => rows::row(rows::SET_TARGETS, json!({"uid": uid, "hash": hash, "turn": turn})),
                None => rows::row(rows::SET_TURN, json!({"uid": uid, "turn": turn})),
            });
        }
        let used: BTreeSet<_> = inputs
            .iter()
            .filter_map(|input| input.namespace.clone())
            .collect();
        let turns = used
            .into_iter()
            .filter_map(|namespace| last.get(&namespace).map(|turn| (namespace, *turn)));
        rows.extend(turns.map(|(namespace, turn)| {
            rows::row(
                rows::SET_NAMESPACE_TURN,
                json!({"namespace": namespace, "turn": turn}),
            )
        }));
        rows
    }
}

fn member(hash: &str, agent: &str) -> SideRow {
    rows::row(rows::ADD_TARGET_AGENT, json!({"hash": hash, "agent": agent}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(uid: &str, namespace: &str) -> TargetInput {
        TargetInput {
            uid: Some(uid.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..TargetInput::default()
        }
    }

    fn turns(found: &Found, inputs: &[TargetInput]) -> Vec<i64> {
        let rows = found.turns(inputs);
        rows.iter()
            .filter(|row| row.statement == rows::SET_TURN)
            .map(|row| row.row["turn"].as_i64().unwrap())
            .collect()
    }

    #[test]
    fn namespaces_alternate_whoever_came_first() {
        let found = Found::default();
        let inputs = [
            order("1", "a"),
            order("2", "a"),
            order("3", "a"),
            order("4", "b"),
            order("5", "b"),
        ];
        assert_eq!(turns(&found, &inputs), [1, 2, 3, 1, 2]);
    }

    #[test]
    fn namespace_that_was_away_does_not_jump_the_queue() {
        let found = Found {
            turns: BTreeMap::from([("b".to_owned(), 3)]),
            lowest: Some(40),
            ..Found::default()
        };
        assert_eq!(turns(&found, &[order("1", "b"), order("2", "new")]), [40, 40]);
    }

    #[test]
    fn last_turn_of_each_namespace_is_kept() {
        let rows = Found::default().turns(&[order("1", "a"), order("2", "a")]);
        let kept: Vec<_> = rows
            .iter()
            .filter(|row| row.statement == rows::SET_NAMESPACE_TURN)
            .collect();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].row, json!({"namespace": "a", "turn": 2}));
    }
}
