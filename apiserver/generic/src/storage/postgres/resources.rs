//! The resources served, each with the statements on its table, built once.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::mutant;
use crate::storage::error::StorageError;
use crate::storage::table::{ColumnSpec, GroupResource, Residence, ResourceTable};

/// The standard columns, as `json_to_recordset` reads them.
const STANDARD: &str = "namespace text, name text, uid uuid, resource_version bigint, object text";

/// One resource and the statements on its table. Those that write take `$1::json`, an array of rows,
/// and write the events of these rows too: there is no change without its event, and the object is sent once.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) table: ResourceTable,
    /// The name in the change log.
    pub(crate) name: String,
    /// Which of the keys exist, at which version; the object too where `with_object` asks for it.
    pub(crate) current: SqlStr,
    pub(crate) create: SqlStr,
    pub(crate) replace: SqlStr,
    pub(crate) delete: SqlStr,
    /// All objects.
    pub(crate) all: SqlStr,
    /// The object with namespace `$1` and name `$2`.
    pub(crate) get: SqlStr,
}

impl Resource {
    fn new(table: ResourceTable) -> Self {
        let target = table.table;
        let record = format!("{STANDARD}{}", typed(table.columns));
        let companions = table.companions;
        let new_record = record.clone() + &typed(table.creation_columns) + &typed(companions.columns);
        let names = named("", table.columns) + &named("", table.creation_columns);
        let values = named("r.", table.columns) + &named("r.", table.creation_columns);
        let sets: String = table
            .columns
            .iter()
            .map(|column| format!(", {0} = r.{0}", column.name))
            .collect();
        let matches = "t.namespace = r.namespace and t.name = r.name and t.uid = r.uid
             and t.resource_version = r.old_version";
        let name = table.resource.to_string();
        let logged = |kind: &str| with_events(&name, kind);
        Self {
            current: statement(format!(
                "select t.namespace, t.name, t.uid, t.resource_version, case when r.with_object then t.object end
                 from json_to_recordset($1::json) as r(namespace text, name text, with_object boolean)
                 join {target} t on t.namespace = r.namespace and t.name = r.name"
            )),
            create: statement(format!(
                "with r as materialized (select * from json_to_recordset($1::json) as r({new_record})){}{}
                 insert into {target} (namespace, name, uid, resource_version, object{names})
                 select r.namespace, r.name, r.uid, r.resource_version, r.object{values} from r",
                logged("ADDED"),
                with_companions(companions.statements)
            )),
            replace: statement(format!(
                "with r as materialized (
                     select * from json_to_recordset($1::json) as r({record}, old_version bigint)){}
                 update {target} t set resource_version = r.resource_version, object = r.object{sets}
                 from r where {matches}",
                logged("MODIFIED")
            )),
            delete: statement(format!(
                "with r as materialized (
                     select * from json_to_recordset($1::json) as r({STANDARD}, old_version bigint)){}
                 delete from {target} t using r where {matches}",
                logged("DELETED")
            )),
            all: statement(format!("select resource_version, object from {target}")),
            get: statement(format!(
                "select resource_version, object from {target} where namespace = $1 and name = $2"
            )),
            name,
            table,
        }
    }
}

/// The columns as a record's, each after a comma.
fn typed(columns: &[ColumnSpec]) -> String {
    let column = |column: &ColumnSpec| format!(", {} {}", column.name, column.sql_type);
    columns.iter().map(column).collect()
}

/// The names of the columns, each after a comma and this prefix.
fn named(prefix: &str, columns: &[ColumnSpec]) -> String {
    let column = |column: &ColumnSpec| format!(", {prefix}{}", column.name);
    columns.iter().map(column).collect()
}

/// The part of a statement on the rows `r` that adds an event of this kind for each to the change log.
fn with_events(resource: &str, kind: &str) -> String {
    let left_out = match kind {
        "ADDED" => mutant!("i2-event-of-a-create-left-out"),
        "MODIFIED" => mutant!("i2-event-of-a-change-left-out"),
        _ => mutant!("i2-event-of-a-deletion-left-out"),
    };
    if left_out {
        return String::new();
    }
    format!(
        ",
         logged as (
             insert into apiserver.watch_events (rv, resource, type, namespace, name, uid, object)
             select r.resource_version, '{resource}', '{kind}', r.namespace, r.name, r.uid, r.object from r)"
    )
}

/// The part of a statement on the rows `r` that writes what comes to be with them.
fn with_companions(statements: &[&str]) -> String {
    let named = |(index, statement): (usize, &&str)| format!(", companion_{index} as ({statement})");
    statements.iter().enumerate().map(named).collect()
}

/// Statements are made of the program's own texts and names. What a client sent stands in them only as a literal, quoted
/// where forerunners ask.
pub(crate) fn statement(text: String) -> SqlStr {
    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}

/// All resources of one storage.
#[derive(Debug)]
pub(crate) struct Resources {
    by_resource: HashMap<GroupResource, Arc<Resource>>,
    by_name: HashMap<String, Arc<Resource>>,
}

impl Resources {
    pub(crate) fn new(tables: Vec<ResourceTable>) -> Self {
        let resources: Vec<_> = tables
            .into_iter()
            .map(|table| Arc::new(Resource::new(table)))
            .collect();
        Self {
            by_resource: resources
                .iter()
                .map(|r| (r.table.resource, Arc::clone(r)))
                .collect(),
            by_name: resources.into_iter().map(|r| (r.name.clone(), r)).collect(),
        }
    }

    pub(crate) fn get(&self, resource: GroupResource) -> Result<&Arc<Resource>, StorageError> {
        self.by_resource
            .get(&resource)
            .ok_or_else(|| StorageError::Database(format!("resource {resource} has no table here")))
    }

    /// The resource with this name in the change log; another release may log resources unknown here.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Resource>> {
        self.by_name.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.by_resource.values()
    }

    pub(crate) fn cached(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.iter()
            .filter(|resource| resource.table.residence == Residence::Cached)
    }
}
