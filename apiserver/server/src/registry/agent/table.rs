//! How agents are stored, selected and printed.

use std::collections::BTreeMap;

use brokkr_apis::work::v1alpha1::{Agent, conditions};
use generic_apiserver::object::Object;
use generic_apiserver::registry::TableColumn;
use generic_apiserver::storage::{ColumnSpec, Companions, GroupResource, Residence, ResourceTable};
use serde_json::{Map, Value, json};

use crate::registry::columns::{text_at, value_at};

/// The resource.
pub const AGENTS: GroupResource = GroupResource {
    group: crate::registry::GROUP,
    resource: "agents",
};

const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::new("identity", "text"),
    ColumnSpec::new("unschedulable", "boolean"),
    ColumnSpec::new("lease_seconds", "integer"),
    ColumnSpec::new("work_types", "text[]"),
    ColumnSpec::new("concurrency", "text"),
];

/// The storage mapping of agents.
#[must_use]
pub fn table() -> ResourceTable {
    ResourceTable {
        resource: AGENTS,
        table: "work.agents",
        residence: Residence::Cached,
        columns: COLUMNS,
        creation_columns: &[],
        companions: Companions::NONE,
        columns_of,
        fields: &[],
        fields_of: |_| BTreeMap::new(),
        field_columns: &[],
    }
}

fn columns_of(object: &Object) -> Map<String, Value> {
    let list = |value: &Value| {
        if value.is_array() {
            value.clone()
        } else {
            json!([])
        }
    };
    let columns = [
        (
            "identity",
            json!(text_at(object, "spec.identity").unwrap_or_default()),
        ),
        (
            "unschedulable",
            json!(value_at(object, "spec.unschedulable").as_bool().unwrap_or(false)),
        ),
        (
            "lease_seconds",
            json!(value_at(object, "spec.leaseSeconds").as_i64().unwrap_or(60)),
        ),
        ("work_types", list(value_at(object, "spec.workTypes"))),
        (
            "concurrency",
            json!(value_at(object, "spec.concurrency").to_string()),
        ),
    ];
    columns
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The printer columns of agents.
pub(crate) const PRINTER_COLUMNS: &[TableColumn] = &[
    column("Ready", "Whether the agent has been in touch within its lease", 0),
    column("Types", "The work types it serves", 0),
    column("In-Use", "How many orders it holds, of how many it may hold", 0),
    column("Version", "The version of its program", 0),
    column("Identity", "The user name it calls with", 1),
    column("Unschedulable", "Whether it is kept from claiming", 1),
];

const fn column(name: &'static str, description: &'static str, priority: i32) -> TableColumn {
    TableColumn {
        name,
        column_type: "string",
        format: "",
        description,
        priority,
    }
}

/// The cells of [`PRINTER_COLUMNS`].
pub(crate) fn cells(agent: &Agent) -> Vec<Value> {
    let status = agent.status.clone().unwrap_or_default();
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == conditions::READY);
    let types = match agent.spec.work_types.as_slice() {
        [] => "<all>".to_owned(),
        types => types.join(","),
    };
    let limit = agent
        .spec
        .concurrency
        .as_ref()
        .and_then(|concurrency| concurrency.total)
        .unwrap_or_default();
    let used = status.in_use.map_or(0, |usage| usage.total);
    vec![
        json!(ready.map_or("Unknown", |condition| condition.status.as_str())),
        json!(types),
        json!(format!("{used}/{limit}")),
        json!(status.version.unwrap_or_else(|| "<none>".to_owned())),
        json!(agent.spec.identity),
        json!(agent.spec.unschedulable.unwrap_or(false).to_string()),
    ]
}
