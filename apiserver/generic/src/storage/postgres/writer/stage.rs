//! Rows collected for one round of set-based statements, and what a transaction has written so far.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use sqlx::postgres::PgConnection;
use sqlx::{Executor, SqlSafeStr, SqlStr};

use crate::mutant;
use crate::storage::encoding::Encoded;
use crate::storage::error::StorageError;
use crate::storage::mutation::{Change, NewRow, ObjectWrite, SideRow};
use crate::storage::postgres::Resources;
use crate::storage::resource_version::ResourceVersion;
use crate::storage::table::GroupResource;
use crate::storage::types::{Key, Stored};

/// What a transaction has written so far.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// In the order of their versions, which only rise within a transaction.
    pub(super) changes: Vec<Change>,
    /// Whether any statement that may write has run.
    pub(super) any: bool,
    /// Which followers are not asked about a new row.
    spared: HashMap<(GroupResource, Key), &'static [&'static str]>,
}

impl Written {
    /// Notes which followers the new rows are not for.
    pub(super) fn spare(&mut self, rows: &[NewRow]) {
        let spared = rows.iter().filter(|row| !row.spared.is_empty());
        self.spared
            .extend(spared.map(|row| ((row.resource, row.key.clone()), row.spared)));
    }

    /// The changes that a follower is asked about.
    pub(super) fn changes_for(&self, follower: &str) -> Cow<'_, [Change]> {
        if !self.spared.values().any(|names| names.contains(&follower)) {
            return Cow::Borrowed(&self.changes);
        }
        let spared = |change: &Change| {
            let new = change.new.as_ref().filter(|_| change.old.is_none());
            let spared = new.and_then(|new| self.spared.get(&(change.resource, new.key.clone())));
            spared.is_some_and(|names| names.contains(&follower))
        };
        Cow::Owned(
            self.changes
                .iter()
                .filter(|change| !spared(change))
                .cloned()
                .collect(),
        )
    }

    /// The state that the first event carries.
    pub(super) fn first(&self) -> Option<&Arc<Stored>> {
        self.changes.first().and_then(state)
    }

    /// The state that the last event carries.
    pub(super) fn last(&self) -> Option<&Arc<Stored>> {
        self.changes.last().and_then(state)
    }
}

/// What the event of a change carries.
pub(super) fn state(change: &Change) -> Option<&Arc<Stored>> {
    change.new.as_ref().or(change.last.as_ref())
}

/// The rows of one table, by what is done with them.
#[derive(Debug, Default)]
struct TableRows {
    deletes: Vec<Row>,
    replaces: Vec<Row>,
    creates: Vec<Row>,
}

/// One row for a table, and its event: the statements read what they need of it.
#[derive(Debug)]
struct Row {
    /// The state that is stored, or that the event of a deletion carries.
    state: Arc<Stored>,
    /// What it takes the place of.
    old: Option<Arc<Stored>>,
    columns: Map<String, Value>,
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { state, old, columns } = self;
        let mut row = serializer.serialize_map(None)?;
        row.serialize_entry("namespace", &state.key.namespace)?;
        row.serialize_entry("name", &state.key.name)?;
        row.serialize_entry("uid", &old.as_ref().unwrap_or(state).metadata.uid)?;
        row.serialize_entry("resource_version", &state.version.get())?;
        row.serialize_entry("object", &String::from_utf8_lossy(&state.encoded))?;
        if let Some(old) = old {
            row.serialize_entry("old_version", &old.version.get())?;
        }
        for (name, value) in columns {
            row.serialize_entry(name, value)?;
        }
        row.end()
    }
}

/// Rows to be written together.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    resources: &'a Resources,
    tables: BTreeMap<GroupResource, TableRows>,
    side: Vec<(&'static str, Vec<Value>)>,
}

impl<'a> Stage<'a> {
    pub(super) const fn new(resources: &'a Resources) -> Self {
        Self {
            resources,
            tables: BTreeMap::new(),
            side: Vec::new(),
        }
    }

    /// Adds an object at its version, and its columns if it is created; its change is noted in `written`.
    pub(super) fn add(
        &mut self,
        write: &mut ObjectWrite,
        version: ResourceVersion,
        given: &Map<String, Value>,
        written: &mut Written,
    ) -> Result<(), StorageError> {
        let (resource, old) = match write {
            ObjectWrite::Create { resource, .. } => (*resource, None),
            ObjectWrite::Replace { resource, old, .. } | ObjectWrite::Delete { resource, old, .. } => {
                (*resource, Some(Arc::clone(old)))
            }
        };
        let table = &self.resources.get(resource)?.table;
        let Encoded {
            stored: state,
            mut columns,
        } = match write {
            ObjectWrite::Create { object, .. }
            | ObjectWrite::Replace { object, .. }
            | ObjectWrite::Delete {
                last: Some(object), ..
            } => table.encode(version, object)?,
            ObjectWrite::Delete { old, last: None, .. } => table.at_version(old, version)?,
        };
        let rows = self.tables.entry(resource).or_default();
        let (rows, new, last) = match write {
            ObjectWrite::Create { .. } => (&mut rows.creates, Some(&state), None),
            ObjectWrite::Replace { .. } => (&mut rows.replaces, Some(&state), None),
            ObjectWrite::Delete { .. } => (&mut rows.deletes, None, Some(&state)),
        };
        if new.is_none() {
            // A row that goes is found by its key and version.
            columns.clear();
        } else if old.is_none() {
            columns.extend(given.clone());
        }
        written.changes.push(Change {
            resource,
            old: old.clone(),
            new: new.cloned(),
            last: last.cloned(),
        });
        rows.push(Row { state, old, columns });
        Ok(())
    }

    /// Adds columns to rows that are to be created.
    pub(super) fn add_columns(&mut self, new_rows: Vec<NewRow>) {
        let mut added: HashMap<_, _> = new_rows
            .into_iter()
            .map(|row| ((row.resource, row.key), row.columns))
            .collect();
        for (resource, rows) in &mut self.tables {
            for row in &mut rows.creates {
                let address = (*resource, row.state.key.clone());
                row.columns.extend(added.remove(&address).into_iter().flatten());
            }
        }
    }

    pub(super) fn add_side(&mut self, side: SideRow) {
        match self
            .side
            .iter_mut()
            .find(|(statement, _)| *statement == side.statement)
        {
            Some((_, rows)) => rows.push(side.row),
            None => self.side.push((side.statement, vec![side.row])),
        }
    }

    /// Writes the rows: per table deletes first, so that a key freed in this batch may be taken again.
    pub(super) async fn execute(
        self,
        connection: &mut PgConnection,
        written: &mut Written,
    ) -> Result<(), StorageError> {
        for (resource, rows) in self.tables {
            let resource = self.resources.get(resource)?;
            written.any = true;
            exactly(connection, &resource.delete, &rows.deletes).await?;
            exactly(connection, &resource.replace, &rows.replaces).await?;
            exactly(connection, &resource.create, &rows.creates).await?;
        }
        if mutant!("i5-side-rows-in-another-transaction") {
            connection.execute("commit; begin").await?;
        }
        for (statement, rows) in self.side {
            written.any = true;
            execute(connection, statement.into_sql_str(), &rows).await?;
        }
        Ok(())
    }
}

/// Runs a statement that must write one row for each given.
async fn exactly(
    connection: &mut PgConnection,
    statement: &SqlStr,
    rows: &[Row],
) -> Result<(), StorageError> {
    if rows.is_empty() {
        return Ok(());
    }
    let affected = execute(connection, statement.clone(), rows).await?;
    if affected != rows.len() as u64 {
        let (expected, statement) = (rows.len(), statement.as_str());
        return Err(StorageError::Database(format!(
            "{affected} of {expected} rows written by: {statement}"
        )));
    }
    Ok(())
}

async fn execute(
    connection: &mut PgConnection,
    statement: SqlStr,
    rows: &[impl Serialize],
) -> Result<u64, StorageError> {
    let rows = serde_json::to_string(rows)
        .map_err(|error| StorageError::Corrupt(format!("rows cannot be encoded: {error}")))?;
    let done = sqlx::query(statement).bind(rows).execute(connection).await?;
    Ok(done.rows_affected())
}
