//! How a resource is laid out in its table.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::object::Object;

/// Group and plural name of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupResource {
    /// The API group.
    pub group: &'static str,
    /// The plural resource name.
    pub resource: &'static str,
}

impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.resource, self.group)
    }
}

/// Where the current objects of a resource live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// In the watch cache of every replica; listed by key.
    Cached,
    /// In the database only, but for a ring of recent additions; append-only, listed newest first.
    DatabaseOnly,
}

/// A column of the resource's own, written by the library from the object in the same statement.
#[derive(Clone, Copy, Debug)]
pub struct ColumnSpec {
    /// The column's name.
    pub name: &'static str,
    /// Its SQL type, as used in `json_to_recordset`.
    pub sql_type: &'static str,
}

impl ColumnSpec {
    /// A column of this name and SQL type.
    #[must_use]
    pub const fn new(name: &'static str, sql_type: &'static str) -> Self {
        Self { name, sql_type }
    }
}

/// Rows of other tables that come to be with a row of this one, in one statement.
#[derive(Clone, Copy, Debug)]
pub struct Companions {
    /// Columns of theirs that the new row itself does not have; given like `creation_columns`.
    pub columns: &'static [ColumnSpec],
    /// Statements that insert them, from the rows `r` to be created: the standard columns and all others given. They
    /// see the tables as they were before, and take no lock but on rows.
    pub statements: &'static [&'static str],
}

impl Companions {
    /// Nothing comes to be with a row.
    pub const NONE: Self = Self {
        columns: &[],
        statements: &[],
    };
}

/// The storage mapping of one resource.
///
/// The table has the standard columns `namespace text`, `name text`, `uid uuid`,
/// `resource_version bigint`, `object text`, unique over (namespace, name), and `columns`.
#[derive(Clone, Debug)]
pub struct ResourceTable {
    /// Which resource.
    pub resource: GroupResource,
    /// The table, with its schema, such as `apps.deployments`.
    pub table: &'static str,
    /// Where its objects live.
    pub residence: Residence,
    /// The resource's own columns.
    pub columns: &'static [ColumnSpec],
    /// Columns that a new row is given by who creates it ([`Writes::columns`](super::Writes::columns)) or by forerunners
    /// ([`NewRow`](super::mutation::NewRow)); side rows alone change them later.
    pub creation_columns: &'static [ColumnSpec],
    /// What comes to be in other tables with a new row.
    pub companions: Companions,
    /// Values of `columns` for an object, by column name; what is missing is NULL.
    pub columns_of: fn(&Object) -> Map<String, Value>,
    /// The selectable fields besides `metadata.name` and `metadata.namespace`.
    pub fields: &'static [&'static str],
    /// The values of `fields` for an object.
    pub fields_of: fn(&Object) -> BTreeMap<&'static str, String>,
    /// For a [`Residence::DatabaseOnly`] resource: the column that holds a selectable field.
    pub field_columns: &'static [(&'static str, &'static str)],
}
