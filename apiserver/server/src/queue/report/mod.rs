//! What holders say about their claims, and operators in their place: progress, completion, release.
//!
//! Three set mutations that read the same rows. A fence is current exactly while its lease row exists;
//! a report with another one changes nothing and is kept as evidence.

mod complete;
mod progress;
mod release;

use std::collections::HashMap;

use brokkr_apis::work::v1alpha1::{Attempt, Fence, WorkOrderCompletionStatus, WorkOrderPhase};
use generic_apiserver::mutant;
use generic_apiserver::storage::StorageError;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::complete::{CompleteInput, CompleteOrders, Completed};
pub use self::progress::{ProgressInput, RecordProgress};
pub use self::release::{ReleaseInput, ReleaseOrders};

use super::order::{OrderRow, QueuedOrder};
use super::rows;
use super::written::Written;
use crate::lifecycle::Refusal;

/// The statement of all three.
const STATEMENT: &str = include_str!("report.sql");

/// Which claim a report is about; this is what the statement needs of it.
#[derive(Clone, Debug, Serialize)]
pub struct ClaimKey {
    /// The order's uid.
    pub uid: String,
    /// The fence; `None` only for a forced release.
    pub fence: Option<Fence>,
    /// The order's namespace.
    #[serde(skip)]
    pub namespace: String,
    /// The order's name.
    #[serde(skip)]
    pub name: String,
    /// The agent that the caller is; `None` for an operator.
    #[serde(skip)]
    pub agent: Option<String>,
    /// The caller's user name.
    #[serde(skip)]
    pub user: String,
    /// Whether the namespace is being deleted.
    #[serde(skip)]
    pub namespace_terminating: bool,
    /// Whether nothing may be written.
    #[serde(skip)]
    pub dry_run: bool,
}

/// Why a report is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportRefusal {
    /// There is no such order, and none of this uid has been.
    #[error("the order does not exist")]
    NoOrder,
    /// The claim is another agent's.
    #[error("the claim belongs to agent {0:?}")]
    OtherAgent(String),
    /// The attempt has ended with another outcome than the one reported.
    #[error("the attempt with fence {fence} has ended as {outcome} already")]
    EndedOtherwise {
        /// The fence.
        fence: Fence,
        /// How it ended.
        outcome: String,
    },
    /// The order's state forbids it.
    #[error("{refusal} (the order is {phase}{})", .current.as_ref().map(CurrentClaim::clause).unwrap_or_default())]
    State {
        /// What the state machine says.
        refusal: Refusal,
        /// The phase the order is in.
        phase: WorkOrderPhase,
        /// The current claim, if there is one.
        current: Option<CurrentClaim>,
    },
}

/// The claim that is current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentClaim {
    /// The agent.
    pub agent: String,
    /// Its process.
    pub holder: String,
    /// The fence.
    pub fence: Fence,
}

impl CurrentClaim {
    pub(crate) fn clause(&self) -> String {
        format!(
            ", held by agent {}, holder {}, with fence {}",
            self.agent, self.holder, self.fence
        )
    }
}

/// One row of the statement: exactly one of the fields is given.
#[derive(Debug, Deserialize)]
pub struct ReportRow {
    order: Option<OrderRow>,
    ended: Option<EndedRow>,
}

/// An attempt that has ended.
#[derive(Debug, Deserialize)]
struct EndedRow {
    uid: String,
    fence: Fence,
    attempt: Attempt,
    answer: Option<WorkOrderCompletionStatus>,
}

/// What the statement found, by uid; an order that a report has changed is not found again.
struct Found {
    orders: HashMap<String, QueuedOrder>,
    ended: HashMap<(String, Fence), EndedRow>,
    written: Written,
}

impl Found {
    fn new<'a>(rows: Vec<ReportRow>, keys: impl Iterator<Item = &'a ClaimKey>) -> Result<Self, StorageError> {
        // Who names an order as it is has looked at its namespace; others of the batch may have looked at any.
        let going: Vec<&ClaimKey> = keys.filter(|key| key.namespace_terminating).collect();
        let mut found = Self {
            orders: HashMap::new(),
            ended: HashMap::new(),
            written: Written::default(),
        };
        for row in rows {
            if let Some(order) = row.order {
                let mut queued = order.read(false)?;
                queued.set_namespace_terminating(going.iter().any(|key| is_named(&queued, key)));
                found.orders.insert(queued.uid().to_owned(), queued);
            }
            if let Some(ended) = row.ended {
                found.ended.insert((ended.uid.clone(), ended.fence), ended);
            }
        }
        Ok(found)
    }

    /// The order of the key, if the caller may speak for its claim.
    fn order(&self, key: &ClaimKey) -> Result<&QueuedOrder, ReportRefusal> {
        let queued = self
            .orders
            .get(&key.uid)
            .filter(|queued| is_named(queued, key))
            .ok_or(ReportRefusal::NoOrder)?;
        let Some(lease) = &queued.lease else {
            return Err(refused(queued, Refusal::FenceSpent));
        };
        if key.fence.is_some_and(|fence| fence != lease.fence)
            && !mutant!("i6-fence-not-compared-on-complete")
        {
            return Err(refused(queued, Refusal::FenceSpent));
        }
        match &key.agent {
            Some(agent) if *agent != lease.agent => Err(ReportRefusal::OtherAgent(lease.agent.clone())),
            _ => Ok(queued),
        }
    }

    /// Keeps a report that came too late, if the caller's agent has held the order.
    fn keep_late_report(&mut self, key: &ClaimKey, report: &impl Serialize) {
        if self.has_held(key) && !key.dry_run && !mutant!("i6-late-report-not-kept") {
            let row = json!({"uid": key.uid, "fence": key.fence, "user_name": key.user, "report": rows::text(report)});
            self.written.rows.push(rows::row(rows::ADD_LATE_REPORT, row));
        }
    }

    /// Whether an attempt of the order was the agent's: nobody else has anything to report, whatever uid
    /// and fence a request names. The fence of a claim that was taken over is in no attempt any more.
    fn has_held(&self, key: &ClaimKey) -> bool {
        let is_own = |attempt: &Attempt| key.agent.as_ref().is_none_or(|agent| *agent == attempt.agent);
        let ended = key
            .fence
            .and_then(|fence| self.ended.get(&(key.uid.clone(), fence)));
        let order = self.orders.get(&key.uid).filter(|queued| is_named(queued, key));
        ended.is_some_and(|ended| is_own(&ended.attempt))
            || order.is_some_and(|queued| queued.attempts.iter().any(is_own))
    }
}

/// Whether the order of this uid is the one that the request names.
fn is_named(queued: &QueuedOrder, key: &ClaimKey) -> bool {
    queued.stored.key.namespace == key.namespace && queued.stored.key.name == key.name
}

/// A refusal with what the caller has to know of the order.
fn refused(queued: &QueuedOrder, refusal: Refusal) -> ReportRefusal {
    let current = queued.lease.as_ref().map(|lease| CurrentClaim {
        agent: lease.agent.clone(),
        holder: lease.holder.clone(),
        fence: lease.fence,
    });
    let phase = queued
        .order
        .status
        .as_ref()
        .map(|status| status.phase)
        .unwrap_or_default();
    ReportRefusal::State {
        refusal,
        phase,
        current,
    }
}
