//! An order as the mutations of the queue read it: the object, its rows beside it, and its state.
//!
//! What may become of it is decided in [`crate::lifecycle`]; this file only reads.

use std::sync::Arc;

use brokkr_apis::work::v1alpha1::{Attempt, Fence, WorkOrder};
use generic_apiserver::storage::{ResourceVersion, StorageError, Stored};
use jiff::Timestamp;
use serde::Deserialize;

use crate::lifecycle::{QueueColumns, State};
use crate::registry::work_order::table as order_table;

/// A row of the view `work.order_states`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderRow {
    version: u64,
    object: String,
    next_retry_after: Option<Timestamp>,
    cancel_deadline: Option<Timestamp>,
    pub(crate) excluded: Vec<String>,
    another_agent: bool,
    pub(crate) lease: Option<LeaseRow>,
    attempts: Vec<Attempt>,
}

/// The lease of a claimed order.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LeaseRow {
    pub(crate) agent: String,
    pub(crate) holder: String,
    pub(crate) fence: Fence,
    pub(crate) expires_at: Timestamp,
    pub(crate) lapsed: bool,
}

/// An order at one version, with what only the queue's rows know.
#[derive(Clone, Debug)]
pub(crate) struct QueuedOrder {
    /// The version in the store; what a write replaces.
    pub(crate) stored: Arc<Stored>,
    pub(crate) order: WorkOrder,
    /// Every attempt so far, oldest first; the status remembers only the latest.
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) lease: Option<LeaseRow>,
    columns: QueueColumns,
}

impl OrderRow {
    /// Parses the object.
    ///
    /// # Errors
    /// `Corrupt` when the text is not an order.
    pub(crate) fn read(self, namespace_terminating: bool) -> Result<QueuedOrder, StorageError> {
        let version = ResourceVersion::new(self.version);
        let order: WorkOrder = serde_json::from_str(&self.object)
            .map_err(|error| StorageError::Corrupt(format!("workorders at version {version}: {error}")))?;
        let stored = order_table::table().stored(version, self.object)?;
        let columns = QueueColumns {
            lease_expires_at: self.lease.as_ref().map(|lease| lease.expires_at),
            lapsed: self.lease.as_ref().is_some_and(|lease| lease.lapsed),
            next_retry_after: self.next_retry_after,
            cancel_deadline: self.cancel_deadline,
            namespace_terminating,
            another_agent_targeted: self.another_agent,
        };
        Ok(QueuedOrder {
            stored,
            order,
            attempts: self.attempts,
            lease: self.lease,
            columns,
        })
    }
}

impl QueuedOrder {
    /// The order as far as its life is concerned.
    pub(crate) fn state(&self) -> State {
        State::of(&self.order, &self.columns)
    }

    /// Whether the namespace is being deleted, as the caller knows.
    pub(crate) fn set_namespace_terminating(&mut self, terminating: bool) {
        self.columns.namespace_terminating = terminating;
    }

    pub(crate) fn uid(&self) -> &str {
        self.order.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The attempts with the given one in place of the last of its number, or after all.
    pub(crate) fn attempts_with(&self, latest: Option<&Attempt>) -> Vec<Attempt> {
        let mut attempts = self.attempts.clone();
        if let Some(latest) = latest {
            attempts.retain(|attempt| attempt.number != latest.number);
            attempts.push(latest.clone());
        }
        attempts
    }
}
