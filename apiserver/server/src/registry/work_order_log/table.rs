//! How log entries are stored, selected and printed.

use std::collections::BTreeMap;

use brokkr_apis::work::v1alpha1::{WorkOrderLog, WorkType};
use generic_apiserver::object::Object;
use generic_apiserver::registry::TableColumn;
use generic_apiserver::storage::{ColumnSpec, Companions, GroupResource, Residence, ResourceTable};
use serde_json::{Map, Value, json};

use crate::registry::columns::{integer_at, text_at, value_at};

/// The resource.
pub const WORK_ORDER_LOGS: GroupResource = GroupResource {
    group: crate::registry::GROUP,
    resource: "workorderlogs",
};

const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::new("id", "uuid"),
    ColumnSpec::new("work_type", "text"),
    ColumnSpec::new("created_at", "timestamptz"),
    ColumnSpec::new("claimed_at", "timestamptz"),
    ColumnSpec::new("completed_at", "timestamptz"),
    ColumnSpec::new("claimed_by", "text"),
    ColumnSpec::new("success", "boolean"),
    ColumnSpec::new("retries_attempted", "integer"),
    ColumnSpec::new("result_message", "text"),
    ColumnSpec::new("yaml_content", "text"),
    ColumnSpec::new("outcome", "text"),
    ColumnSpec::new("class", "text"),
    ColumnSpec::new("reason", "text"),
    ColumnSpec::new("order_name", "text"),
    ColumnSpec::new("namespace_uid", "text"),
];

/// The field that tells a namespace from another one of the same name.
pub(crate) const NAMESPACE_UID: &str = "namespaceUID";

/// The storage mapping of the log.
#[must_use]
pub fn table() -> ResourceTable {
    ResourceTable {
        resource: WORK_ORDER_LOGS,
        table: "work.work_order_log",
        residence: Residence::DatabaseOnly,
        columns: COLUMNS,
        creation_columns: &[],
        companions: Companions::NONE,
        columns_of,
        fields: &[
            "workType",
            "outcome",
            "success",
            "agent",
            "orderName",
            "orderUID",
            NAMESPACE_UID,
        ],
        fields_of,
        field_columns: &[
            ("workType", "work_type"),
            ("outcome", "outcome"),
            ("success", "success"),
            ("agent", "claimed_by"),
            ("orderName", "order_name"),
            ("orderUID", "id"),
            (NAMESPACE_UID, "namespace_uid"),
        ],
    }
}

fn columns_of(object: &Object) -> Map<String, Value> {
    let at = |path| value_at(object, path).clone();
    let completed = text_at(object, "status.completionTime").map(str::to_owned);
    let columns = [
        ("id", at("spec.orderUID")),
        ("work_type", json!(work_type(object))),
        (
            "created_at",
            text_at(object, "spec.createdAt").map_or_else(|| json!(completed), |time| json!(time)),
        ),
        ("claimed_at", at("status.startTime")),
        ("completed_at", json!(completed)),
        ("claimed_by", at("status.agent")),
        ("success", json!(value_at(object, "status.success") == true)),
        (
            "retries_attempted",
            json!(integer_at(object, "status.retryCount")),
        ),
        ("result_message", at("status.message")),
        (
            "yaml_content",
            json!(super::super::work_order::table::documents(value_at(
                object,
                "spec.order.manifests"
            ))),
        ),
        ("outcome", at("status.outcome")),
        ("class", at("status.class")),
        ("reason", at("status.reason")),
        ("order_name", at("spec.orderName")),
        (
            "namespace_uid",
            json!(text_at(object, "spec.namespaceUID").unwrap_or_default()),
        ),
    ];
    columns
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn work_type(object: &Object) -> String {
    let submitted = text_at(object, "spec.order.workType").unwrap_or_default();
    WorkType::canonical(submitted).map_or_else(|| submitted.to_owned(), |work_type| work_type.to_string())
}

fn fields_of(object: &Object) -> BTreeMap<&'static str, String> {
    let text = |path| text_at(object, path).unwrap_or_default().to_owned();
    BTreeMap::from([
        ("workType", work_type(object)),
        ("outcome", text("status.outcome")),
        (
            "success",
            (value_at(object, "status.success") == true).to_string(),
        ),
        ("agent", text("status.agent")),
        ("orderName", text("spec.orderName")),
        ("orderUID", text("spec.orderUID")),
        (NAMESPACE_UID, text("spec.namespaceUID")),
    ])
}

/// The printer columns of the log.
pub(crate) const PRINTER_COLUMNS: &[TableColumn] = &[
    column("Type", "string", "The work type", 0),
    column("Outcome", "string", "How the order ended", 0),
    column("Agent", "string", "The agent of the last attempt", 0),
    column("Retries", "integer", "How many failed attempts were retried", 0),
    column("Duration", "string", "From the first claim to the end", 0),
    column("Order", "string", "The name of the order", 1),
    column("Reason", "string", "The normalised reason of the end", 1),
    column("Message", "string", "What happened", 1),
];

const fn column(
    name: &'static str,
    column_type: &'static str,
    description: &'static str,
    priority: i32,
) -> TableColumn {
    TableColumn {
        name,
        column_type,
        format: "",
        description,
        priority,
    }
}

/// The cells of [`PRINTER_COLUMNS`].
pub(crate) fn cells(entry: &WorkOrderLog) -> Vec<Value> {
    let status = entry.status.clone().unwrap_or_default();
    let work_type = &entry.spec.order.work_type;
    vec![
        json!(WorkType::canonical(work_type).map_or_else(|| work_type.clone(), |known| known.to_string())),
        json!(status.outcome),
        json!(or_none(&status.agent)),
        json!(status.retry_count),
        json!(duration(status.duration_seconds)),
        json!(entry.spec.order_name),
        json!(or_none(&status.reason)),
        json!(status.message),
    ]
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

/// A duration as kubectl prints it: its two largest units at most.
fn duration(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn duration_shows_two_units_at_most() {
        assert_eq!(duration(0), "0s");
        assert_eq!(duration(119), "119s");
        assert_eq!(duration(125), "2m5s");
        assert_eq!(duration(7260), "2h1m");
    }
}
