//! How orders are stored, selected and printed.

use std::collections::BTreeMap;

use brokkr_apis::work::v1alpha1::{WorkOrder, WorkOrderPhase, WorkType, conditions};
use generic_apiserver::object::Object;
use generic_apiserver::registry::TableColumn;
use generic_apiserver::storage::{ColumnSpec, Companions, GroupResource, Residence, ResourceTable};
use serde_json::{Map, Value, json};

use crate::queue::rows;
use crate::registry::columns::{integer_at, seconds_after, text_at, time_at, value_at};

/// The resource.
pub const WORK_ORDERS: GroupResource = GroupResource {
    group: crate::registry::GROUP,
    resource: "workorders",
};

/// The columns written from the object; the queue's own columns are written by its mutations.
const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::new("created_at", "timestamptz"),
    ColumnSpec::new("updated_at", "timestamptz"),
    ColumnSpec::new("work_type", "text"),
    ColumnSpec::new("yaml_content", "text"),
    ColumnSpec::new("status", "text"),
    ColumnSpec::new("claimed_by", "text"),
    ColumnSpec::new("claimed_at", "timestamptz"),
    ColumnSpec::new("claim_timeout_seconds", "integer"),
    ColumnSpec::new("max_retries", "integer"),
    ColumnSpec::new("retry_count", "integer"),
    ColumnSpec::new("backoff_seconds", "integer"),
    ColumnSpec::new("next_retry_after", "timestamptz"),
    ColumnSpec::new("priority", "integer"),
    ColumnSpec::new("suspended", "boolean"),
    ColumnSpec::new("lost_attempts", "integer"),
    ColumnSpec::new("fence", "bigint"),
    ColumnSpec::new("lapsed", "boolean"),
    ColumnSpec::new("attempt_deadline", "timestamptz"),
    ColumnSpec::new("active_deadline", "timestamptz"),
    ColumnSpec::new("expires_at", "timestamptz"),
    ColumnSpec::new("cancelling", "boolean"),
];

/// The key of a new order, and the turn its namespace was last given.
const COMPANIONS: Companions = Companions {
    columns: &[
        ColumnSpec::new("namespace_uid", "text"),
        ColumnSpec::new("idempotency_key", "text"),
        ColumnSpec::new("spec_hash", "text"),
    ],
    statements: &[rows::ADD_KEYS, rows::SET_NAMESPACE_TURNS],
};

/// The columns that the queue gives to a new order.
const QUEUE_COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::new("target_set_id", "bigint"),
    ColumnSpec::new("turn", "bigint"),
    ColumnSpec::new("ready_since", "timestamptz"),
];

/// The storage mapping of orders.
#[must_use]
pub fn table() -> ResourceTable {
    ResourceTable {
        resource: WORK_ORDERS,
        table: "work.work_orders",
        residence: Residence::Cached,
        columns: COLUMNS,
        creation_columns: QUEUE_COLUMNS,
        companions: COMPANIONS,
        columns_of,
        fields: &["spec.workType", "status.phase", "status.claim.agent"],
        fields_of,
        field_columns: &[],
    }
}

fn columns_of(object: &Object) -> Map<String, Value> {
    let mut columns = spec_columns(object);
    columns.extend(status_columns(object));
    columns
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Columns of what was submitted. Defaults stand in the object; the fallbacks are those of `defaults`.
fn spec_columns(object: &Object) -> Vec<(&'static str, Value)> {
    let integer = |path, default| json!(value_at(object, path).as_i64().unwrap_or(default));
    let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let active = value_at(object, "spec.activeDeadlineSeconds").as_i64();
    vec![
        ("created_at", json!(created)),
        ("updated_at", json!(jiff::Timestamp::now())),
        ("work_type", json!(work_type(object))),
        (
            "yaml_content",
            json!(documents(value_at(object, "spec.manifests"))),
        ),
        ("claim_timeout_seconds", integer("spec.claimTimeoutSeconds", 3600)),
        ("max_retries", integer("spec.retryPolicy.maxRetries", 3)),
        ("backoff_seconds", integer("spec.retryPolicy.backoffSeconds", 60)),
        ("priority", integer("spec.priority", 0)),
        ("suspended", json!(value_at(object, "spec.suspend") == true)),
        (
            "active_deadline",
            active.map_or(Value::Null, |seconds| seconds_after(created, seconds)),
        ),
    ]
}

/// Columns of where the order is in its life.
fn status_columns(object: &Object) -> Vec<(&'static str, Value)> {
    let at = |path| value_at(object, path).clone();
    let phase = phase(object);
    let claimed_at = time_at(object, "status.claim.claimedAt");
    let cap = value_at(object, "spec.claimTimeoutSeconds")
        .as_i64()
        .unwrap_or(3600);
    vec![
        ("status", json!(status_word(phase))),
        ("claimed_by", at("status.claim.agent")),
        ("claimed_at", at("status.claim.claimedAt")),
        ("retry_count", json!(integer_at(object, "status.retryCount"))),
        ("next_retry_after", at("status.nextRetryAfter")),
        ("lost_attempts", json!(integer_at(object, "status.lostAttempts"))),
        ("fence", at("status.claim.fence")),
        ("lapsed", json!(is_lapsed(object))),
        ("attempt_deadline", seconds_after(claimed_at, cap)),
        ("expires_at", expiry(object, phase)),
        ("cancelling", json!(phase == WorkOrderPhase::Cancelling)),
    ]
}

/// When a finished order goes; never for a negative TTL.
fn expiry(object: &Object, phase: WorkOrderPhase) -> Value {
    let ttl = value_at(object, "spec.ttlSecondsAfterFinished")
        .as_i64()
        .unwrap_or(3600);
    // One that is being deleted goes with its last finalizer.
    if !phase.is_terminal() || ttl < 0 || object.metadata.deletion_timestamp.is_some() {
        return Value::Null;
    }
    seconds_after(time_at(object, "status.completionTime"), ttl)
}

/// The origin's word for a phase.
const fn status_word(phase: WorkOrderPhase) -> &'static str {
    match phase {
        WorkOrderPhase::Pending => "PENDING",
        WorkOrderPhase::Claimed | WorkOrderPhase::Running | WorkOrderPhase::Cancelling => "CLAIMED",
        WorkOrderPhase::RetryPending => "RETRY_PENDING",
        WorkOrderPhase::Succeeded => "SUCCEEDED",
        WorkOrderPhase::Failed => "FAILED",
        WorkOrderPhase::Cancelled => "CANCELLED",
    }
}

fn phase(object: &Object) -> WorkOrderPhase {
    text_at(object, "status.phase")
        .and_then(|phase| phase.parse().ok())
        .unwrap_or_default()
}

fn is_lapsed(object: &Object) -> bool {
    let conditions = value_at(object, "status.conditions").as_array();
    conditions.is_some_and(|conditions| {
        conditions
            .iter()
            .any(|one| one["type"] == conditions::HOLDER_UNREACHABLE && one["status"] == "True")
    })
}

fn work_type(object: &Object) -> String {
    let submitted = text_at(object, "spec.workType").unwrap_or_default();
    WorkType::canonical(submitted).map_or_else(|| submitted.to_owned(), |known| known.to_string())
}

/// Manifests as a stream of YAML documents, one JSON text each.
pub(crate) fn documents(manifests: &Value) -> String {
    let documents: Vec<String> = manifests
        .as_array()
        .into_iter()
        .flatten()
        .map(Value::to_string)
        .collect();
    documents.join("\n---\n")
}

fn fields_of(object: &Object) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("spec.workType", work_type(object)),
        ("status.phase", phase(object).to_string()),
        // Not selectable: orders that wait are counted by it.
        (
            "spec.suspend",
            (value_at(object, "spec.suspend") == true).to_string(),
        ),
        (
            "status.claim.agent",
            text_at(object, "status.claim.agent")
                .unwrap_or_default()
                .to_owned(),
        ),
    ])
}

/// The printer columns of orders.
pub(crate) const PRINTER_COLUMNS: &[TableColumn] = &[
    column("Type", "string", "The work type", 0),
    column("Phase", "string", "Where the order is in its life", 0),
    column(
        "Agent",
        "string",
        "The agent that holds the order, or held it last",
        0,
    ),
    column(
        "Retries",
        "string",
        "Failed attempts that were charged, of how many may be retried",
        0,
    ),
    column(
        "Priority",
        "integer",
        "Orders of higher priority are claimed first",
        1,
    ),
    column(
        "Run",
        "string",
        "The object that runs the latest attempt in the agent's cluster",
        1,
    ),
    column("Next-Retry", "string", "When the next attempt may be claimed", 1),
    column("Message", "string", "What happened last", 1),
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
pub(crate) fn cells(order: &WorkOrder) -> Vec<Value> {
    let status = order.status.clone().unwrap_or_default();
    let submitted = &order.spec.work_type;
    let retries = order
        .spec
        .retry_policy
        .as_ref()
        .and_then(|policy| policy.max_retries)
        .unwrap_or(0);
    let latest = status.attempts.last();
    let agent = latest.map_or("<none>", |attempt| attempt.agent.as_str());
    let run = latest
        .and_then(|attempt| attempt.child.as_ref())
        .map(|child| child.name.clone());
    vec![
        json!(WorkType::canonical(submitted).map_or_else(|| submitted.clone(), |known| known.to_string())),
        json!(status.phase),
        json!(status.claim.as_ref().map_or(agent, |claim| claim.agent.as_str())),
        json!(format!("{}/{retries}", status.retry_count)),
        json!(order.spec.priority.unwrap_or(0)),
        json!(run.unwrap_or_else(|| "<none>".to_owned())),
        json!(
            status
                .next_retry_after
                .map_or_else(|| "<none>".to_owned(), |time| time.0.to_string())
        ),
        json!(status.message),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(spec: &Value, status: &Value) -> Object {
        let value = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder",
            "metadata": {"name": "a", "namespace": "n", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": spec, "status": status});
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn deadlines_are_columns_computed_from_the_object() {
        let columns = columns_of(&order(
            &json!({"workType": "shipwright-build", "claimTimeoutSeconds": 60, "activeDeadlineSeconds": 120}),
            &json!({"phase": "Running", "claim": {"agent": "east", "fence": 7, "claimedAt": "2026-01-01T00:00:10Z"}}),
        ));
        assert_eq!(columns["work_type"], "build");
        assert_eq!(columns["status"], "CLAIMED");
        assert_eq!(columns["attempt_deadline"], "2026-01-01T00:01:10Z");
        assert_eq!(columns["active_deadline"], "2026-01-01T00:02:00Z");
        assert_eq!(columns["expires_at"], Value::Null);
        assert_eq!(columns["fence"], 7);
    }

    #[test]
    fn finished_order_expires_by_its_ttl_and_never_when_negative() {
        let finished = json!({"phase": "Failed", "completionTime": "2026-01-01T00:00:00Z"});
        let expiry = |ttl: i64| {
            columns_of(&order(&json!({"ttlSecondsAfterFinished": ttl}), &finished))["expires_at"].clone()
        };
        assert_eq!(expiry(60), "2026-01-01T00:01:00Z");
        assert_eq!(expiry(-1), Value::Null);
    }

    #[test]
    fn manifests_become_documents_in_their_order() {
        assert_eq!(
            documents(&json!([{"kind": "A"}, {"kind": "B"}])),
            "{\"kind\":\"A\"}\n---\n{\"kind\":\"B\"}"
        );
        assert_eq!(documents(&Value::Null), "");
    }
}
