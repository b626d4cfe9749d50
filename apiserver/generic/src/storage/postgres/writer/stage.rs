//! Rows collected for one round of set-based statements, and what a transaction has written so far.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{Executor, SqlSafeStr, SqlStr};

use crate::mutant;
use crate::storage::encoding::Encoded;
use crate::storage::error::StorageError;
use crate::storage::mutation::{Change, ObjectWrite, SideRow};
use crate::storage::postgres::Resources;
use crate::storage::resource_version::ResourceVersion;
use crate::storage::table::GroupResource;
use crate::storage::types::Stored;

/// What a transaction has written so far.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Rows for the change log.
    pub(super) events: Vec<Value>,
    pub(super) changes: Vec<Change>,
    /// Whether any statement that may write has run.
    pub(super) any: bool,
}

impl Written {
    /// The version of the last event: versions only rise within a transaction.
    pub(super) fn last_version(&self) -> Option<ResourceVersion> {
        let change = self.changes.last()?;
        Some(change.new.as_ref().or(change.old.as_ref())?.version)
    }
}

/// The rows of one table, by what is done with them.
#[derive(Debug, Default)]
struct TableRows {
    deletes: Vec<Value>,
    replaces: Vec<Value>,
    creates: Vec<Value>,
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

    /// Adds an object at its version; its change and its event are noted in `written`.
    pub(super) fn add(
        &mut self,
        write: &mut ObjectWrite,
        version: ResourceVersion,
        written: &mut Written,
    ) -> Result<(), StorageError> {
        let change = match write {
            ObjectWrite::Create { resource, object } => {
                let encoded = self.resources.get(*resource)?.table.encode(version, object)?;
                let new = Some(encoded.stored.clone());
                let row = row(encoded, None);
                self.tables.entry(*resource).or_default().creates.push(row);
                Change {
                    resource: *resource,
                    old: None,
                    new,
                    last: None,
                }
            }
            ObjectWrite::Replace {
                resource,
                old,
                object,
            } => {
                let encoded = self.resources.get(*resource)?.table.encode(version, object)?;
                let new = Some(encoded.stored.clone());
                let row = row(encoded, Some(old));
                self.tables.entry(*resource).or_default().replaces.push(row);
                Change {
                    resource: *resource,
                    old: Some(old.clone()),
                    new,
                    last: None,
                }
            }
            ObjectWrite::Delete { resource, old, last } => {
                let table = &self.resources.get(*resource)?.table;
                let last = match last {
                    Some(last) => table.encode(version, last)?.stored,
                    None => table.at_version(old, version)?,
                };
                let row = json!({
                    "namespace": old.key.namespace, "name": old.key.name,
                    "uid": old.metadata.uid, "old_version": old.version.get(),
                });
                self.tables.entry(*resource).or_default().deletes.push(row);
                written.events.push(self.event("DELETED", *resource, &last)?);
                written.changes.push(Change {
                    resource: *resource,
                    old: Some(old.clone()),
                    new: None,
                    last: Some(last),
                });
                return Ok(());
            }
        };
        if let Some(new) = &change.new {
            let kind = if change.old.is_some() { "MODIFIED" } else { "ADDED" };
            written.events.push(self.event(kind, change.resource, new)?);
        }
        written.changes.push(change);
        Ok(())
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
            exactly(connection, &resource.delete, rows.deletes).await?;
            exactly(connection, &resource.replace, rows.replaces).await?;
            exactly(connection, &resource.create, rows.creates).await?;
        }
        if mutant!("i5-side-rows-in-another-transaction") {
            connection.execute("commit; begin").await?;
        }
        for (statement, rows) in self.side {
            written.any = true;
            execute(connection, statement.into_sql_str(), rows).await?;
        }
        Ok(())
    }

    fn event(&self, kind: &str, resource: GroupResource, object: &Stored) -> Result<Value, StorageError> {
        Ok(json!({
            "rv": object.version.get(), "resource": self.resources.get(resource)?.name, "type": kind,
            "namespace": object.key.namespace, "name": object.key.name, "uid": object.metadata.uid,
            "object": text(object),
        }))
    }
}

fn row(encoded: Encoded, old: Option<&Stored>) -> Value {
    let Encoded { stored, columns } = encoded;
    let mut row: Map<String, Value> = columns;
    row.insert("namespace".to_owned(), stored.key.namespace.clone().into());
    row.insert("name".to_owned(), stored.key.name.clone().into());
    row.insert("uid".to_owned(), stored.metadata.uid.clone().into());
    row.insert("resource_version".to_owned(), stored.version.get().into());
    row.insert("object".to_owned(), text(&stored).into());
    if let Some(old) = old {
        row.insert("uid".to_owned(), old.metadata.uid.clone().into());
        row.insert("old_version".to_owned(), old.version.get().into());
    }
    Value::Object(row)
}

fn text(object: &Stored) -> String {
    String::from_utf8_lossy(&object.encoded).into_owned()
}

/// Runs a statement that must write one row for each given.
async fn exactly(
    connection: &mut PgConnection,
    statement: &SqlStr,
    rows: Vec<Value>,
) -> Result<(), StorageError> {
    if rows.is_empty() {
        return Ok(());
    }
    let expected = rows.len() as u64;
    let affected = execute(connection, statement.clone(), rows).await?;
    if affected != expected {
        let statement = statement.as_str();
        return Err(StorageError::Database(format!(
            "{affected} of {expected} rows written by: {statement}"
        )));
    }
    Ok(())
}

async fn execute(
    connection: &mut PgConnection,
    statement: SqlStr,
    rows: Vec<Value>,
) -> Result<u64, StorageError> {
    let done = sqlx::query(statement)
        .bind(Value::Array(rows).to_string())
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
