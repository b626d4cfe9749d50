//! What users ask of an order: cancel, DELETE, suspend, resume, our finalizer taken off.
//!
//! Decided under the version lock as everything else that moves an order, so that the times are the
//! database's and the log entry shows every attempt. A change is written as a whole, or refused because
//! the order has changed since it was read.

use std::collections::HashMap;

use brokkr_apis::work::v1alpha1::WorkOrder;
use generic_apiserver::mutant;
use generic_apiserver::object::Object;
use generic_apiserver::storage::mutation::SetOutcome;
use generic_apiserver::storage::{Key, ResourceVersion, SetMutation, StorageError, Versions};
use jiff::Timestamp;
use serde::Serialize;

use super::order::{OrderRow, QueuedOrder};
use super::written::{UserChange, Written};
use crate::lifecycle::Event;

/// The set mutation of what users ask.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChangeOrders;

/// One change of one order. Serialised, it is what the statement needs of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChangeInput {
    pub(crate) uid: String,
    #[serde(skip)]
    pub(crate) key: Key,
    /// The version that the change was built from.
    #[serde(skip)]
    pub(crate) version: ResourceVersion,
    /// The order with the user's changes, but with the status of that version.
    #[serde(skip)]
    pub(crate) wanted: WorkOrder,
    /// What the change asks for, in the order in which it happens.
    #[serde(skip)]
    pub(crate) events: Vec<Event>,
}

impl SetMutation for ChangeOrders {
    type Input = ChangeInput;
    type Row = OrderRow;
    /// The order as it was written, its last state if it is gone.
    type Output = Result<Object, StorageError>;

    fn name(&self) -> &'static str {
        "change"
    }

    fn statement(&self) -> &'static str {
        "select s.state::text from work.order_states s
         where s.id = any (array(select x.uid from json_to_recordset($1::json) as x (uid uuid)))"
    }

    fn decide(
        &self,
        inputs: &[ChangeInput],
        rows: Vec<OrderRow>,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<SetOutcome<Self::Output>, StorageError> {
        let read = rows.into_iter().map(|row| row.read(false));
        let found = read.map(|queued| queued.map(|queued| (queued.uid().to_owned(), queued)));
        let mut found: HashMap<String, QueuedOrder> = found.collect::<Result<_, _>>()?;
        let mut written = Written::default();
        let mut outputs = Vec::with_capacity(inputs.len());
        for input in inputs {
            outputs.push(match input.find(&mut found) {
                Ok(before) => Ok(input.write(&before, &mut written, versions, now)?),
                Err(refusal) => Err(refusal),
            });
        }
        Ok(SetOutcome {
            objects: written.objects,
            rows: written.rows,
            new_rows: Vec::new(),
            outputs,
        })
    }
}

impl ChangeInput {
    /// Takes the order out, so that a second change of the same batch finds that it has been changed.
    fn find(&self, found: &mut HashMap<String, QueuedOrder>) -> Result<QueuedOrder, StorageError> {
        let conflict = || StorageError::Conflict {
            key: self.key.clone(),
            expected: self.version,
        };
        let order = found.remove(&self.uid).ok_or_else(conflict)?;
        if order.stored.version == self.version || mutant!("i5-end-of-an-order-that-has-changed") {
            Ok(order)
        } else {
            Err(conflict())
        }
    }

    fn write(
        &self,
        before: &QueuedOrder,
        written: &mut Written,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<Object, StorageError> {
        let change = UserChange {
            before,
            wanted: &self.wanted,
            events: &self.events,
            now,
        };
        let after = written.change(&change, versions)?;
        super::written::object_of(after.as_ref().unwrap_or(&before.order))
    }
}
