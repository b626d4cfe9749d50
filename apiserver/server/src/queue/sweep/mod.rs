//! What time does to orders: leases run out, backoffs end, deadlines and TTLs pass.
//!
//! One set mutation asks the state machine about everything that has fallen due. Every replica may run
//! it; under the version lock each finds what the others have left.

mod sweeper;

use std::collections::BTreeSet;

use brokkr_apis::work::v1alpha1::Fence;
use generic_apiserver::mutant;
use generic_apiserver::storage::mutation::SetOutcome;
use generic_apiserver::storage::{SetMutation, StorageError, Versions};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::sweeper::Sweeper;

use super::guard::without;
use super::order::{OrderRow, QueuedOrder};
use super::written::{Step, Written, moment};
use crate::lifecycle::{self, transition};

/// The set mutation of what has fallen due.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sweep;

/// One sweep.
#[derive(Clone, Debug, Serialize)]
pub struct SweepInput {
    /// How many orders of each kind at most, so that the lock is not held for long.
    pub max: usize,
    /// Namespaces that are being deleted: nothing is requeued there.
    #[serde(skip)]
    pub terminating: Vec<String>,
}

/// An order for which something has fallen due.
#[derive(Debug, Deserialize)]
pub struct DueRow {
    event: Due,
    fence: Option<Fence>,
    order: OrderRow,
}

/// What has fallen due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Due {
    /// A lease has run out.
    LeaseLost,
    /// A cancellation is no longer waited for.
    CancelDeadline,
    /// The whole order has taken too long.
    Deadline,
    /// An attempt has taken too long.
    AttemptCap,
    /// The backoff of a retry has passed.
    Backoff,
    /// A finished order goes.
    Ttl,
}

impl SetMutation for Sweep {
    type Input = SweepInput;
    type Row = DueRow;
    /// What was due of the orders that were changed.
    type Output = Vec<Due>;

    fn name(&self) -> &'static str {
        "sweep"
    }

    fn statement(&self) -> &'static str {
        let statement = include_str!("sweep.sql");
        if mutant!("i6-expiry-overruns-a-renewal") {
            return without(statement, "for update of l skip locked", "");
        }
        if mutant!("i8-leases-expire-while-not-served") {
            return without(statement, "- interval '15 seconds'", "- interval '1 day'");
        }
        if mutant!("i8-stale-retry-timer") {
            return without(
                statement,
                "o.status = 'RETRY_PENDING' and o.next_retry_after",
                "o.next_retry_after",
            );
        }
        statement
    }

    fn decide(
        &self,
        inputs: &[SweepInput],
        rows: Vec<DueRow>,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<SetOutcome<Vec<Due>>, StorageError> {
        let terminating: BTreeSet<&String> = inputs.iter().flat_map(|input| &input.terminating).collect();
        let mut written = Written::default();
        let mut swept = BTreeSet::new();
        let mut happened = Vec::new();
        for row in rows {
            let mut queued = row.order.read(false)?;
            // One event of an order in one sweep; the next finds what is still due.
            if swept.contains(queued.uid()) {
                continue;
            }
            queued.set_namespace_terminating(terminating.contains(&queued.stored.key.namespace));
            let Some(event) = row.event.event(row.fence) else {
                continue;
            };
            if written.sweep(&queued, &event, versions, now)? {
                swept.insert(queued.uid().to_owned());
                happened.push(row.event);
            }
        }
        let outputs = vec![happened; inputs.len()];
        Ok(SetOutcome {
            objects: written.objects,
            rows: written.rows,
            new_rows: Vec::new(),
            outputs,
        })
    }
}

impl Due {
    /// The word for it in the statement and in metrics.
    pub(in crate::queue) const fn as_str(self) -> &'static str {
        match self {
            Self::LeaseLost => "leaseLost",
            Self::CancelDeadline => "cancelDeadline",
            Self::Deadline => "deadline",
            Self::AttemptCap => "attemptCap",
            Self::Backoff => "backoff",
            Self::Ttl => "ttl",
        }
    }

    fn event(self, fence: Option<Fence>) -> Option<lifecycle::Event> {
        Some(match self {
            Self::LeaseLost => lifecycle::Event::LeaseLost { fence: fence? },
            Self::CancelDeadline => lifecycle::Event::CancelDeadlineReached,
            Self::Deadline => lifecycle::Event::DeadlineReached,
            Self::AttemptCap => lifecycle::Event::AttemptCapReached,
            Self::Backoff => lifecycle::Event::BackoffElapsed,
            Self::Ttl => lifecycle::Event::TtlElapsed,
        })
    }
}

impl Written {
    /// Whether anything became of it: somebody else may have been faster.
    fn sweep(
        &mut self,
        queued: &QueuedOrder,
        event: &lifecycle::Event,
        versions: &mut Versions,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let version = versions.draw();
        match transition(&queued.state(), event, moment(now, version)) {
            Ok(transition) => {
                let step = Step {
                    before: queued,
                    event,
                    transition: &transition,
                    version,
                    now,
                    answer: None,
                };
                self.step(&step, versions)?;
                Ok(true)
            }
            Err(refusal) => {
                tracing::debug!(work_order.uid = queued.uid(), %refusal, "nothing to sweep");
                Ok(false)
            }
        }
    }
}
