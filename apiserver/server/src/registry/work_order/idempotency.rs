//! Idempotency keys: one piece of work per key and namespace, over live orders and the log.
//!
//! The rows of `work.work_order_keys` say who has a key. They are read before an order is written, and the
//! unique constraint decides between two that come at once. Keys are bound to the uid of their namespace, as
//! entries are: a new namespace of the same name begins anew.

use brokkr_apis::work::v1alpha1::{WorkOrder, WorkOrderLog, WorkOrderSpec};
use brokkr_apis::work::validation::MUTABLE_FIELDS;
use generic_apiserver::registry::RegistryError;
use generic_apiserver::registry::error::Cause;
use generic_apiserver::storage::{Freshness, Key, Storage, StorageError};
use jiff::Timestamp;
use serde_json::Value;

use crate::queue::sha256_hex;
use crate::registry::work_order_log::table::WORK_ORDER_LOGS;

const FIELD: &str = "spec.idempotencyKey";

const BY_KEY: &str = "
select order_uid::text, order_name, spec_hash, log_name, (extract(epoch from clock_timestamp()) * 1000000)::bigint
from work.work_order_keys
where namespace || '/' || namespace_uid || '/' || idempotency_key = $1 || '/' || $2 || '/' || $3";

/// The order that has a key.
#[derive(Debug)]
struct Holder {
    order_uid: String,
    order_name: String,
    spec_hash: String,
    log_name: Option<String>,
}

/// The columns of [`BY_KEY`].
type HolderRow = (String, String, String, Option<String>, i64);

/// What an order's key means for its creation.
#[derive(Debug)]
pub(super) enum KeyUse {
    /// The key is free, or held by the live order of the same name, whose creation is refused as such.
    New,
    /// The work has been done: how it ended, and the time now by the database's clock.
    Done(Box<WorkOrderLog>, Timestamp),
}

/// The order's key; an empty one is none.
pub(super) fn key_of(spec: &WorkOrderSpec) -> Option<&str> {
    spec.idempotency_key.as_deref().filter(|key| !key.is_empty())
}

/// What must be the same for two orders to be the same work: the spec without what may change in an order's
/// life.
pub(super) fn spec_hash(spec: &WorkOrderSpec) -> String {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        MUTABLE_FIELDS
            .iter()
            .for_each(|field| drop(fields.remove(*field)));
    }
    sha256_hex(&value.to_string())
}

/// Finds out what the order's key means.
///
/// # Errors
/// `Conflict` when a live order of another name has the key, or it stands for other work.
pub(super) async fn look_up(
    storage: &Storage,
    order: &WorkOrder,
    key: &str,
) -> Result<KeyUse, RegistryError> {
    let namespace = order.metadata.namespace.as_deref().unwrap_or_default();
    let query = sqlx::query_as(BY_KEY)
        .bind(namespace)
        .bind(namespace_uid(order))
        .bind(key);
    let row: Option<HolderRow> = query
        .fetch_optional(storage.pool())
        .await
        .map_err(StorageError::from)?;
    let Some((order_uid, order_name, spec_hash, log_name, microseconds)) = row else {
        return Ok(KeyUse::New);
    };
    let holder = Holder {
        order_uid,
        order_name,
        spec_hash,
        log_name,
    };
    let Some(log_name) = held_or_logged(&holder, order, key)? else {
        return Ok(KeyUse::New);
    };
    let entry = storage
        .get(
            WORK_ORDER_LOGS,
            &Key::namespaced(namespace, log_name),
            Freshness::Latest,
        )
        .await;
    let now = Timestamp::from_microsecond(microseconds)
        .map_err(|error| StorageError::Corrupt(format!("the database's clock: {error}")))?;
    match entry {
        Ok(stored) => serde_json::from_slice(&stored.encoded)
            .map(|entry| KeyUse::Done(Box::new(entry), now))
            .map_err(|error| StorageError::Corrupt(format!("log entry {log_name:?}: {error}")).into()),
        Err(StorageError::NotFound(_)) => Err(conflict("IdempotencyKeyUsed", entry_gone(key, log_name))),
        Err(error) => Err(error.into()),
    }
}

/// The entry of the finished order that has the key; `None` when the holder is this very name.
fn held_or_logged<'h>(
    holder: &'h Holder,
    order: &WorkOrder,
    key: &str,
) -> Result<Option<&'h str>, RegistryError> {
    let Holder {
        order_uid,
        order_name,
        ..
    } = holder;
    match &holder.log_name {
        None if order.metadata.name.as_ref() == Some(order_name) => Ok(None),
        None => {
            let message = format!(
                "{FIELD} {key:?} is held by order {order_name:?} (uid {order_uid}), which has not finished; wait for \
                 it, or use another key for other work"
            );
            Err(conflict("IdempotencyKeyHeld", message))
        }
        Some(log_name) if holder.spec_hash != spec_hash(&order.spec) => {
            let message = format!(
                "{FIELD} {key:?} was used by order {order_name:?} (log entry {log_name:?}) with another spec; use \
                 another key for other work, or the same spec but for {}",
                MUTABLE_FIELDS.join(", ")
            );
            Err(conflict("IdempotencyKeyUsed", message))
        }
        Some(log_name) => Ok(Some(log_name)),
    }
}

/// What the unique constraint says: two orders with one key came at once.
pub(super) fn taken(order: &WorkOrder) -> RegistryError {
    let key = key_of(&order.spec).unwrap_or_default();
    let message = format!(
        "{FIELD} {key:?} was taken by another order at the same moment; create the order again to learn which one \
         holds it"
    );
    conflict("IdempotencyKeyHeld", message)
}

/// The uid of the order's namespace, as it was noted when the order was created.
pub(super) fn namespace_uid(order: &WorkOrder) -> &str {
    let status = order.status.as_ref();
    status
        .and_then(|status| status.namespace_uid.as_deref())
        .unwrap_or_default()
}

fn entry_gone(key: &str, log_name: &str) -> String {
    format!(
        "{FIELD} {key:?} was used by an order whose log entry {log_name:?} is no longer kept, so its outcome is not \
         known; use another key to run the work again"
    )
}

fn conflict(reason: &str, message: String) -> RegistryError {
    let cause = Cause {
        reason: reason.to_owned(),
        message: message.clone(),
        field: FIELD.to_owned(),
    };
    RegistryError::Conflict {
        message,
        causes: vec![cause],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(log_name: Option<&str>, spec: &WorkOrderSpec) -> Holder {
        Holder {
            order_uid: "u".to_owned(),
            order_name: "a".to_owned(),
            spec_hash: spec_hash(spec),
            log_name: log_name.map(str::to_owned),
        }
    }

    fn spec(work_type: &str) -> WorkOrderSpec {
        WorkOrderSpec {
            work_type: work_type.to_owned(),
            ..WorkOrderSpec::default()
        }
    }

    fn message(result: Result<Option<&str>, RegistryError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_live_holder_of_another_name_is_named() {
        let order = WorkOrder::new("b", spec("build"));
        let text = message(held_or_logged(&holder(None, &order.spec), &order, "k"));
        assert!(
            text.contains("order \"a\" (uid u)") && text.contains("has not finished"),
            "{text}"
        );
        let same = WorkOrder::new("a", spec("build"));
        assert_eq!(
            held_or_logged(&holder(None, &same.spec), &same, "k").unwrap(),
            None
        );
    }

    #[test]
    fn a_logged_holder_answers_for_the_same_work_only() {
        let order = WorkOrder::new("b", spec("build"));
        let logged = holder(Some("a-1"), &order.spec);
        assert_eq!(held_or_logged(&logged, &order, "k").unwrap(), Some("a-1"));
        let other = WorkOrder::new("b", spec("job"));
        assert!(message(held_or_logged(&logged, &other, "k")).contains("with another spec"));
    }

    #[test]
    fn what_may_change_in_an_orders_life_is_not_part_of_the_work() {
        let mut changed = spec("build");
        changed.priority = Some(5);
        changed.suspend = Some(true);
        changed.ttl_seconds_after_finished = Some(0);
        assert_eq!(spec_hash(&changed), spec_hash(&spec("build")));
        changed.service_account = Some("other".to_owned());
        assert_ne!(spec_hash(&changed), spec_hash(&spec("build")));
    }

    #[test]
    fn an_empty_key_is_none() {
        let mut keyed = spec("build");
        keyed.idempotency_key = Some(String::new());
        assert_eq!(key_of(&keyed), None);
        keyed.idempotency_key = Some("k".to_owned());
        assert_eq!(key_of(&keyed), Some("k"));
    }
}
