//! What forerunners ask with the lock, in the transaction's first round trip.
//!
//! sqlx sends one statement with parameters at a time, but a text of several: the statements of forerunners are
//! prepared on each of the writer's connections, and the text executes them with their inputs in it.

use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;
use sqlx::postgres::PgPool;
use sqlx::{SqlSafeStr, SqlStr};

use super::set::{Decided, Group, SetGroup};
use super::transaction::texts;
use crate::object::Object;
use crate::storage::error::StorageError;
use crate::storage::mutation::{Forerunner, ObjectWrite, Update, Versions};
use crate::storage::postgres::statement;
use crate::storage::resource_version::ResourceVersion;
use crate::storage::table::GroupResource;

/// A forerunner without its type.
pub(crate) trait ErasedForerunner: Send + Sync {
    fn statement(&self) -> &'static str;
    /// The group that the objects to be created ask for, if any.
    fn group(&self, new: &[(GroupResource, &Object)]) -> Result<Option<Box<dyn SetGroup>>, StorageError>;
}

/// A forerunner of a known type.
pub(crate) struct ForerunnerOf<F>(pub(crate) Arc<F>);

impl<F: Forerunner> ErasedForerunner for ForerunnerOf<F> {
    fn statement(&self) -> &'static str {
        self.0.statement()
    }

    fn group(&self, new: &[(GroupResource, &Object)]) -> Result<Option<Box<dyn SetGroup>>, StorageError> {
        let inputs = new
            .iter()
            .filter_map(|(resource, object)| self.0.input(*resource, object));
        let inputs: Vec<_> = inputs.collect();
        if inputs.is_empty() {
            return Ok(None);
        }
        Ok(Some(Box::new(Group::new(Arc::clone(&self.0), inputs)?)))
    }
}

/// What the creator of an object would be told by now; nothing is locked.
pub(crate) async fn foretell(
    forerunners: &[Arc<dyn ErasedForerunner>],
    resource: GroupResource,
    object: &Object,
    pool: &PgPool,
) -> Result<Vec<String>, StorageError> {
    let mut told = Vec::new();
    for forerunner in forerunners {
        if let Some(mut group) = forerunner.group(&[(resource, object)])? {
            let query = sqlx::query(forerunner.statement().into_sql_str()).bind(group.inputs());
            let rows = texts(&query.fetch_all(pool).await?)?;
            let mut versions = Versions::after(ResourceVersion::ZERO);
            let decided = group.decide(&rows, &mut versions, Timestamp::now())?;
            told.extend(decided.new_rows.into_iter().flat_map(|row| row.warnings));
        }
    }
    Ok(told)
}

/// One statement for each, which prepares it for [`Questions::text`].
pub(super) fn preparations(forerunners: &[Arc<dyn ErasedForerunner>]) -> impl Iterator<Item = SqlStr> {
    let prepare = |(index, forerunner): (usize, &Arc<dyn ErasedForerunner>)| {
        let text = forerunner.statement();
        statement(format!("prepare forerunner_{index} (json) as {text}"))
    };
    forerunners.iter().enumerate().map(prepare)
}

/// What the forerunners ask about some updates.
pub(super) struct Questions {
    /// One per forerunner; `None` = it has nothing to ask.
    pub(super) groups: Vec<Option<Box<dyn SetGroup>>>,
    /// The rows of each statement of [`Self::text`]; they may answer for more than is decided on.
    pub(super) rows: Vec<Vec<String>>,
}

impl Questions {
    pub(super) fn about<'u>(
        forerunners: &[Arc<dyn ErasedForerunner>],
        updates: impl Iterator<Item = &'u Update>,
    ) -> Result<Self, StorageError> {
        let writes =
            updates.flat_map(|update| std::iter::once(&update.object).chain(&update.further.objects));
        let new: Vec<_> = writes
            .filter_map(|write| match write {
                ObjectWrite::Create { resource, object } => Some((*resource, object)),
                ObjectWrite::Replace { .. } | ObjectWrite::Delete { .. } => None,
            })
            .collect();
        let groups = forerunners.iter().map(|forerunner| forerunner.group(&new));
        Ok(Self {
            groups: groups.collect::<Result<_, _>>()?,
            rows: Vec::new(),
        })
    }

    /// The statements that ask, one per forerunner, each after a semicolon; nothing when nobody asks.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if self.groups.iter().all(Option::is_none) {
            return text;
        }
        for (index, group) in self.groups.iter().enumerate() {
            let inputs = group
                .as_ref()
                .map_or_else(|| "[]".to_owned(), |group| group.inputs());
            // A string takes what is written to it.
            let _ = write!(text, "; execute forerunner_{index} ({})", literal(&inputs));
        }
        text
    }

    /// Lets those decide that have asked something.
    pub(super) fn decide(
        &mut self,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<Vec<Decided>, StorageError> {
        let asking = self.groups.iter_mut().zip(&self.rows);
        asking
            .filter_map(|(group, rows)| Some(group.as_mut()?.decide(rows, versions, now)))
            .collect()
    }
}

/// A string constant. The writer's sessions have `standard_conforming_strings` on, so that a quote alone is special.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn a_quote_does_not_end_a_literal() {
        assert_eq!(literal(r"it's \' fine"), r"'it''s \'' fine'");
    }
}
