//! How many objects have which values of some fields, kept along with the cache: counting them all at
//! every scrape would cost more the more there are.

use std::collections::BTreeMap;

use crate::storage::types::Stored;

/// The counts of one cache, by the values of the fields that are counted by, in their order. Every
/// combination that was ever seen stays, at zero if need be: the fields must have few values.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    fields: &'static [&'static str],
    /// Objects at the newest version; empty for a resource that lives in the database only.
    pub present: BTreeMap<Vec<String>, usize>,
    /// Objects whose creation was seen, by what they were at that moment.
    pub created: BTreeMap<Vec<String>, u64>,
}

impl Tally {
    /// Counts by these fields; nothing without any.
    pub(super) fn by(fields: &'static [&'static str]) -> Self {
        Self {
            fields,
            ..Self::default()
        }
    }

    /// Counts what is there anew. What was created meanwhile is not known.
    pub(super) fn restart<'o>(&mut self, objects: impl Iterator<Item = &'o Stored>) {
        self.present.values_mut().for_each(|count| *count = 0);
        for object in objects {
            self.enter(object);
        }
    }

    pub(super) fn create(&mut self, object: &Stored) {
        if !self.fields.is_empty() {
            *self.created.entry(self.values(object)).or_default() += 1;
        }
    }

    pub(super) fn enter(&mut self, object: &Stored) {
        if !self.fields.is_empty() {
            *self.present.entry(self.values(object)).or_default() += 1;
        }
    }

    pub(super) fn leave(&mut self, object: &Stored) {
        if !self.fields.is_empty() {
            let count = self.present.entry(self.values(object)).or_default();
            *count = count.saturating_sub(1);
        }
    }

    fn values(&self, object: &Stored) -> Vec<String> {
        let value = |field: &&str| object.fields.get(field).cloned().unwrap_or_default();
        self.fields.iter().map(value).collect()
    }
}
