//! One page of a list by key, from the objects at one version.

use std::ops::Bound;
use std::sync::Arc;

use super::{Filter, Objects};
use crate::storage::types::{Key, Stored};

/// The matching objects behind `after`, at most `limit` of them (0 = all), and whether more follow.
pub(crate) fn page(
    objects: &Objects,
    filter: &Filter,
    after: Option<&Key>,
    limit: usize,
) -> (Vec<Arc<Stored>>, bool) {
    let mut matching = behind(objects, filter, after).filter(|object| filter.matches(object));
    if limit == 0 {
        return (matching.cloned().collect(), false);
    }
    let items = matching.by_ref().take(limit).cloned().collect();
    (items, matching.next().is_some())
}

/// How many objects of the namespace are behind `after`.
pub(crate) fn count(objects: &Objects, filter: &Filter, after: Option<&Key>) -> usize {
    if after.is_none() && filter.namespace.is_none() {
        return objects.size();
    }
    behind(objects, filter, after).count()
}

fn behind<'a>(
    objects: &'a Objects,
    filter: &'a Filter,
    after: Option<&Key>,
) -> impl Iterator<Item = &'a Arc<Stored>> {
    let start = match (after, &filter.namespace) {
        (Some(key), _) => Bound::Excluded(key.clone()),
        (None, Some(namespace)) => Bound::Included(Key::namespaced(namespace.as_str(), "")),
        (None, None) => Bound::Unbounded,
    };
    let inside = move |key: &Key| {
        filter
            .namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == key.namespace)
    };
    objects
        .range((start, Bound::Unbounded))
        .take_while(move |(key, _)| inside(key))
        .map(|(_, object)| object)
}
