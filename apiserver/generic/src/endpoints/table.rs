//! Objects as rows of a table, which is what `kubectl get` prints.
//!
//! Upstream concept: `metav1.Table` and `rest.TableConvertor`. Columns are Name, the resource's own, Age.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::human_duration::human_duration;
use super::metadata::PartialObjectMetadata;
use super::options::Query;
use super::response::ListMetadata;
use super::{StatusError, status_mapping::RequestScope};
use crate::registry::{RestStorage, TableColumn};
use crate::storage::Stored;

/// What a row carries besides its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    /// The object's metadata.
    Metadata,
    /// The whole object.
    Object,
    /// Nothing.
    None,
}

impl IncludeObject {
    /// Reads the query parameter `includeObject`.
    pub(crate) fn parse(query: Query<'_>) -> Result<Self, StatusError> {
        match query.text("includeObject").as_ref() {
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            "None" => Ok(Self::None),
            other => Err(StatusError::bad_request(format!(
                "unrecognized includeObject value {other:?}: use Metadata, Object or None"
            ))),
        }
    }
}

const NAME: TableColumn = TableColumn {
    name: "Name",
    column_type: "string",
    format: "name",
    description: "The name of the object, unique within its namespace.",
    priority: 0,
};

const AGE: TableColumn = TableColumn {
    name: "Age",
    column_type: "date",
    format: "",
    description: "How long ago the object was created.",
    priority: 0,
};

/// Turns objects of one resource into tables.
pub(crate) struct Tables<'r> {
    /// Knows the columns and the cells.
    pub(crate) storage: &'r dyn RestStorage,
    /// What errors are about.
    pub(crate) scope: &'r RequestScope,
    /// `meta.k8s.io` with the version asked for.
    pub(crate) api_version: &'static str,
    /// What rows carry.
    pub(crate) include: IncludeObject,
}

/// The wire form.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Table<'t> {
    kind: &'static str,
    api_version: &'t str,
    metadata: &'t ListMetadata,
    column_definitions: Vec<Value>,
    rows: Vec<Value>,
}

impl Tables<'_> {
    /// A table of these objects; without `with_columns` the definitions are left out, as in all but the
    /// first event of a watch.
    pub(crate) fn table<'o, I>(
        &self,
        metadata: &ListMetadata,
        items: I,
        with_columns: bool,
    ) -> Result<Value, StatusError>
    where
        I: IntoIterator<Item = &'o Stored>,
    {
        let now = Timestamp::now();
        let rows = items
            .into_iter()
            .map(|stored| self.row(stored, now))
            .collect::<Result<_, _>>()?;
        self.assemble(metadata, rows, with_columns)
    }

    /// The table of a bookmark: one row without values, whose object is given.
    pub(crate) fn bookmark(
        &self,
        metadata: &ListMetadata,
        object: &Value,
        with_columns: bool,
    ) -> Result<Value, StatusError> {
        let cells = vec![Value::Null; self.storage.columns().len() + 2];
        self.assemble(
            metadata,
            vec![json!({"cells": cells, "object": object})],
            with_columns,
        )
    }

    fn assemble(
        &self,
        metadata: &ListMetadata,
        rows: Vec<Value>,
        with_columns: bool,
    ) -> Result<Value, StatusError> {
        let table = Table {
            kind: "Table",
            api_version: self.api_version,
            metadata,
            column_definitions: if with_columns {
                self.definitions()
            } else {
                Vec::new()
            },
            rows,
        };
        serde_json::to_value(&table).map_err(StatusError::internal)
    }

    fn definitions(&self) -> Vec<Value> {
        let definition = |column: &TableColumn| {
            json!({
                "name": column.name,
                "type": column.column_type,
                "format": column.format,
                "description": column.description,
                "priority": column.priority,
            })
        };
        let own = self.storage.columns().iter();
        std::iter::once(&NAME)
            .chain(own)
            .chain([&AGE])
            .map(definition)
            .collect()
    }

    fn row(&self, stored: &Stored, now: Timestamp) -> Result<Value, StatusError> {
        let own = self
            .storage
            .cells(stored)
            .map_err(|error| StatusError::from_registry(error, self.scope))?;
        let own = own
            .into_iter()
            .zip(self.storage.columns())
            .map(|(cell, column)| shown(cell, column, now));
        let mut cells = vec![Value::from(stored.key.name.as_str())];
        cells.extend(own);
        cells.push(Value::from(age(stored, now)));
        Ok(match self.object(stored)? {
            None => json!({"cells": cells}),
            Some(object) => json!({"cells": cells, "object": object}),
        })
    }

    fn encoded(&self, stored: &Stored) -> Result<Bytes, StatusError> {
        let encoded = self.storage.encoded(stored);
        encoded.map_err(|error| StatusError::from_registry(error, self.scope))
    }

    fn object(&self, stored: &Stored) -> Result<Option<Value>, StatusError> {
        let object = match self.include {
            IncludeObject::None => return Ok(None),
            IncludeObject::Metadata => {
                serde_json::to_value(PartialObjectMetadata::new(self.api_version, stored))
            }
            IncludeObject::Object => serde_json::from_slice(&self.encoded(stored)?),
        };
        object.map(Some).map_err(StatusError::internal)
    }
}

/// A date is shown as an age.
fn shown(cell: Value, column: &TableColumn, now: Timestamp) -> Value {
    let date = cell.as_str().filter(|_| column.column_type == "date");
    match date.and_then(|text| text.parse::<Timestamp>().ok()) {
        Some(time) => Value::from(human_duration(now.as_second() - time.as_second())),
        None => cell,
    }
}

fn age(stored: &Stored, now: Timestamp) -> String {
    let created = stored.metadata.creation_timestamp.as_ref();
    created.map_or_else(
        || "<unknown>".to_owned(),
        |created| human_duration(now.as_second() - created.0.as_second()),
    )
}
