//! Which turn and which set orders get.

use super::*;

fn order(uid: &str, namespace: &str) -> TargetInput {
    TargetInput {
        uid: Some(uid.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..TargetInput::default()
    }
}

fn turns(found: &Found, inputs: &[TargetInput]) -> Vec<i64> {
    let turns = found.turns(inputs, Timestamp::UNIX_EPOCH);
    turns
        .rows
        .iter()
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
fn order_whose_set_is_known_gets_it_with_its_row() {
    let found = Found {
        known: BTreeMap::from([("old".to_owned(), 7)]),
        ..Found::default()
    };
    let new = |uid, name: &str, hash: &str| TargetInput {
        name: name.to_owned(),
        hash: Some(hash.to_owned()),
        ..order(uid, "a")
    };
    let inputs = [new("1", "x", "old"), new("2", "y", "new")];
    let turns = found.turns(&inputs, Timestamp::UNIX_EPOCH);
    assert_eq!(turns.columns.len(), 1);
    assert_eq!(
        turns.columns[0].key,
        Key::namespaced("a".to_owned(), "x".to_owned())
    );
    assert_eq!(turns.columns[0].columns["target_set_id"], 7);
    assert_eq!(turns.columns[0].columns["turn"], 1);
    let later = turns.rows.iter().find(|row| row.statement == rows::SET_TARGETS);
    assert_eq!(later.unwrap().row, json!({"uid": "2", "hash": "new", "turn": 2}));
}

#[test]
fn last_turn_of_each_namespace_is_kept() {
    let turns = Found::default().turns(&[order("1", "a"), order("2", "a")], Timestamp::UNIX_EPOCH);
    let kept: Vec<_> = turns
        .rows
        .iter()
        .filter(|row| row.statement == rows::SET_NAMESPACE_TURN)
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].row, json!({"namespace": "a", "turn": 2}));
}
