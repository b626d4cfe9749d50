//! New orders get their set of target agents and their turn with their rows. A set that is new itself is matched
//! against all agents, once.

use std::collections::BTreeMap;

use brokkr_apis::work::v1alpha1::{Agent, TargetTerm};
use generic_apiserver::object::Object;
use generic_apiserver::storage::mutation::{Forerunner, NewRow, SetOutcome};
use generic_apiserver::storage::{GroupResource, Key, SetMutation, SideRow, StorageError, Versions};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::turns::Turns;
use super::{TurnRow, member, parse_agent};
use crate::queue::ring::RING;
use crate::queue::{digest, rows};
use crate::registry::columns::{text_at, value_at};
use crate::registry::work_order::table::WORK_ORDERS;

/// The forerunner that gives new orders their target set and their turn. Orders come to be by updates alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewOrders;

/// A new order.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewOrder {
    uid: String,
    namespace: String,
    namespace_uid: String,
    name: String,
    /// Whether it has an idempotency key.
    keyed: bool,
    /// The digest of its terms.
    hash: String,
    #[serde(skip)]
    terms: Vec<TargetTerm>,
}

/// One row of the statement: exactly one of the fields is given.
#[derive(Debug, Deserialize)]
pub struct NewOrderRow {
    /// A set that exists.
    known: Option<KnownSet>,
    /// An agent's object; all are given when any set is new.
    agent: Option<String>,
    turn: Option<TurnRow>,
    /// The lowest turn of any order that waits.
    lowest: Option<i64>,
    /// Whether any agent might be rung.
    idle: Option<bool>,
    /// What a finished order of the same name has left.
    earlier: Option<Earlier>,
}

#[derive(Debug, Deserialize)]
struct KnownSet {
    hash: String,
    id: i64,
}

#[derive(Debug, Deserialize)]
struct Earlier {
    uid: String,
    /// The name of its log entry.
    entry: String,
}

impl SetMutation for NewOrders {
    type Input = NewOrder;
    type Row = NewOrderRow;
    type Output = ();

    fn name(&self) -> &'static str {
        "new-orders"
    }

    fn statement(&self) -> &'static str {
        include_str!("new_orders.sql")
    }

    fn decide(
        &self,
        orders: &[NewOrder],
        rows: Vec<NewOrderRow>,
        _versions: &mut Versions,
        now: Timestamp,
    ) -> Result<SetOutcome<()>, StorageError> {
        Ok(Found::read(rows)?.outcome(orders, now))
    }
}

impl Forerunner for NewOrders {
    fn input(&self, resource: GroupResource, object: &Object) -> Option<NewOrder> {
        (resource == WORK_ORDERS).then(|| new_order(object))?
    }
}

/// What cannot be read matches nobody rather than everybody.
fn new_order(object: &Object) -> Option<NewOrder> {
    let terms = match value_at(object, "spec.targets") {
        Value::Null => Vec::new(),
        terms => Vec::<TargetTerm>::deserialize(terms).ok()?,
    };
    let text = |path| text_at(object, path).unwrap_or_default();
    Some(NewOrder {
        uid: object.metadata.uid.clone()?,
        namespace: object.metadata.namespace.clone()?,
        namespace_uid: text("status.namespaceUID").to_owned(),
        name: object.metadata.name.clone()?,
        keyed: !text("spec.idempotencyKey").is_empty(),
        hash: digest::sha256_hex(&rows::text(&terms)),
        terms,
    })
}

/// What the statement found.
#[derive(Default)]
struct Found {
    known: BTreeMap<String, i64>,
    agents: Vec<Agent>,
    turns: Turns,
    idle: bool,
    /// By uid of the new order.
    earlier: BTreeMap<String, String>,
}

impl Found {
    fn read(rows: Vec<NewOrderRow>) -> Result<Self, StorageError> {
        let mut found = Self::default();
        for row in rows {
            found.known.extend(row.known.map(|set| (set.hash, set.id)));
            found.turns.last.extend(row.turn.map(TurnRow::into_last));
            found.turns.lowest = found.turns.lowest.or(row.lowest);
            found.idle |= row.idle.unwrap_or_default();
            found
                .earlier
                .extend(row.earlier.map(|order| (order.uid, order.entry)));
            found
                .agents
                .extend(row.agent.map(|agent| parse_agent(&agent)).transpose()?);
        }
        Ok(found)
    }

    fn outcome(mut self, orders: &[NewOrder], now: Timestamp) -> SetOutcome<()> {
        // Statements run in the order of their first rows: there is a set before anybody is of it.
        let mut rows = self.new_sets(orders);
        rows.extend(orders.iter().filter_map(|order| self.set_of(order).err()));
        SetOutcome {
            objects: Vec::new(),
            rows,
            new_rows: orders.iter().map(|order| self.new_row(order, now)).collect(),
            outputs: Vec::new(),
        }
    }

    /// Matches all agents against the sets that are new: the sets, then their members.
    fn new_sets(&self, orders: &[NewOrder]) -> Vec<SideRow> {
        let new: BTreeMap<_, _> = orders
            .iter()
            .filter(|order| !self.known.contains_key(&order.hash))
            .map(|order| (&order.hash, &order.terms))
            .collect();
        let set = |(hash, terms): (&&String, &&Vec<TargetTerm>)| {
            rows::row(
                rows::ADD_TARGET_SET,
                json!({"hash": hash, "terms": rows::text(terms)}),
            )
        };
        let sets = new.iter().map(set);
        let members = new.iter().flat_map(|(hash, terms)| self.members(hash, terms));
        sets.chain(members).collect()
    }

    fn members(&self, hash: &str, terms: &[TargetTerm]) -> Vec<SideRow> {
        let matching = self
            .agents
            .iter()
            .filter(|agent| TargetTerm::any_matches(terms, agent));
        matching
            .map(|agent| member(hash, agent.metadata.name.as_deref().unwrap_or_default()))
            .collect()
    }

    /// The order's set; or the row that gives it one that is as new, whose id is not known yet.
    fn set_of(&self, order: &NewOrder) -> Result<i64, SideRow> {
        let row = || json!({"uid": order.uid, "hash": order.hash});
        let id = self.known.get(&order.hash).copied();
        id.ok_or_else(|| rows::row(rows::SET_TARGETS, row()))
    }

    fn new_row(&mut self, order: &NewOrder, now: Timestamp) -> NewRow {
        let columns = [
            ("target_set_id", json!(self.set_of(order).ok())),
            ("turn", json!(self.turns.give(&order.namespace))),
            ("ready_since", json!(now)),
        ];
        NewRow {
            resource: WORK_ORDERS,
            key: Key::namespaced(order.namespace.clone(), order.name.clone()),
            columns: columns
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            spared: if self.idle { &[] } else { &[RING] },
            warnings: self
                .earlier
                .get(&order.uid)
                .map(|entry| repeats(order, entry))
                .into_iter()
                .collect(),
        }
    }
}

/// Without a key the work is done again, as a Job's would be.
fn repeats(order: &NewOrder, entry: &str) -> String {
    format!(
        "an order named {:?} has finished before (WorkOrderLog {entry:?}); this one runs again. Set \
         spec.idempotencyKey to have work done once only",
        order.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(uid: &str, name: &str, hash: &str) -> NewOrder {
        NewOrder {
            uid: uid.to_owned(),
            namespace: "a".to_owned(),
            name: name.to_owned(),
            hash: hash.to_owned(),
            ..NewOrder::default()
        }
    }

    #[test]
    fn order_whose_set_is_known_gets_it_with_its_row() {
        let found = Found {
            known: BTreeMap::from([("old".to_owned(), 7)]),
            ..Found::default()
        };
        let orders = [order("1", "x", "old"), order("2", "y", "new")];
        let outcome = found.outcome(&orders, Timestamp::UNIX_EPOCH);
        let given = |index: usize, column: &str| outcome.new_rows[index].columns[column].clone();
        assert_eq!(outcome.new_rows[0].key, Key::namespaced("a", "x"));
        assert_eq!(
            (given(0, "target_set_id"), given(0, "turn")),
            (json!(7), json!(1))
        );
        assert_eq!(
            (given(1, "target_set_id"), given(1, "turn")),
            (json!(null), json!(2))
        );
        let later: Vec<_> = outcome.rows.iter().map(|row| (row.statement, &row.row)).collect();
        let set = json!({"hash": "new", "terms": "[]"});
        let order = json!({"uid": "2", "hash": "new"});
        assert_eq!(later, [(rows::ADD_TARGET_SET, &set), (rows::SET_TARGETS, &order)]);
    }

    #[test]
    fn ring_is_spared_new_orders_when_nobody_is_idle() {
        for idle in [false, true] {
            let found = Found {
                idle,
                ..Found::default()
            };
            let outcome = found.outcome(&[order("1", "x", "new")], Timestamp::UNIX_EPOCH);
            assert_eq!(outcome.new_rows[0].spared.is_empty(), idle);
        }
    }

    #[test]
    fn repeated_work_is_told_of() {
        let found = Found {
            earlier: BTreeMap::from([("2".to_owned(), "y-1".to_owned())]),
            ..Found::default()
        };
        let outcome = found.outcome(
            &[order("1", "x", "new"), order("2", "y", "new")],
            Timestamp::UNIX_EPOCH,
        );
        assert!(outcome.new_rows[0].warnings.is_empty());
        assert!(outcome.new_rows[1].warnings[0].contains("WorkOrderLog \"y-1\""));
    }
}
