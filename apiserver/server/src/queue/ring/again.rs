//! Rings that nobody has answered go to the next agent.

use std::collections::BTreeSet;

use generic_apiserver::storage::mutation::SetOutcome;
use generic_apiserver::storage::{SetMutation, StorageError, Versions};
use jiff::Timestamp;
use serde::Serialize;

use super::{RingRow, ring};

/// The set mutation of the sweeper that rings again.
#[derive(Clone, Copy, Debug, Default)]
pub struct RingAgain;

/// One wish to ring again; it says nothing more.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RingAgainInput {}

impl SetMutation for RingAgain {
    type Input = RingAgainInput;
    type Row = RingRow;
    type Output = usize;

    fn name(&self) -> &'static str {
        "ring-again"
    }

    fn statement(&self) -> &'static str {
        include_str!("again.sql")
    }

    fn decide(
        &self,
        inputs: &[RingAgainInput],
        rows: Vec<RingRow>,
        versions: &mut Versions,
        _now: Timestamp,
    ) -> Result<SetOutcome<usize>, StorageError> {
        let mut outcome = ring(rows, &BTreeSet::new(), versions, Vec::new())?;
        let rung = outcome.objects.len();
        outcome.outputs = vec![rung; inputs.len()];
        Ok(outcome)
    }
}
