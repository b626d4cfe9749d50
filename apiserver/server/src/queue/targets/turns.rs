//! When a namespace is served: orders that enter the queue get their turn, one after the last of their namespace,
//! but never before what waits already.

use std::collections::BTreeMap;

/// The turns given so far.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The last turn of each namespace.
    pub(super) last: BTreeMap<String, i64>,
    /// The lowest turn of all that wait.
    pub(super) lowest: Option<i64>,
}

impl Turns {
    /// The next turn of a namespace.
    pub(super) fn give(&mut self, namespace: &str) -> i64 {
        let next = self.last.get(namespace).map_or(1, |last| last + 1);
        let turn = self.lowest.map_or(next, |lowest| next.max(lowest));
        self.last.insert(namespace.to_owned(), turn);
        self.lowest.get_or_insert(turn);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(mut turns: Turns, namespaces: &[&str]) -> Vec<i64> {
        namespaces.iter().map(|namespace| turns.give(namespace)).collect()
    }

    #[test]
    fn namespaces_alternate_whoever_came_first() {
        assert_eq!(
            given(Turns::default(), &["a", "a", "a", "b", "b"]),
            [1, 2, 3, 1, 2]
        );
    }

    #[test]
    fn namespace_that_was_away_does_not_jump_the_queue() {
        let turns = Turns {
            last: BTreeMap::from([("b".to_owned(), 3)]),
            lowest: Some(40),
        };
        assert_eq!(given(turns, &["b", "new"]), [40, 40]);
    }
}
