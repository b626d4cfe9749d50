//! Handlers: what turns an order of one work type into a run of an engine that is already in the cluster.
//!
//! A new work type is one file with a [`WorkHandler`], and one line in [`Handlers::new`]. A handler owns no loop and
//! keeps no state: everything it needs to find its run again is in the run's name and labels, so that a restarted
//! agent adopts what an earlier process started.

mod labels;
pub mod shipwright;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::{ChildReference, Progress, ProgressPhase, WorkType};
use kube::core::GroupVersionKind;

use crate::claim::{Claim, ClaimTable};
use crate::cluster::{Cluster, ClusterError};
use crate::config::WorkOrdersConfig;
use crate::outcome::{Failure, Outcome};

pub use labels::{child_labels, child_name, is_child_of};

/// One order on its way through a handler.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The order, as claimed.
    pub claim: &'a Claim,
    /// The name of this agent.
    pub agent: &'a str,
    /// The hub's name for labels, if it has one.
    pub hub_id: Option<&'a str>,
    /// The namespace of this cluster the order runs in.
    pub namespace: &'a str,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// How work orders are run.
    pub config: &'a WorkOrdersConfig,
    /// Where progress is reported.
    pub claims: &'a ClaimTable,
}

/// What a handler needs and whether the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prerequisite {
    /// The engine, such as shipwright.
    pub name: &'static str,
    /// The version found; None if it is missing.
    pub version: Option<String>,
}

impl Prerequisite {
    /// An engine that is there when the cluster serves this kind of its.
    ///
    /// # Errors
    ///
    /// If the cluster cannot be asked.
    pub async fn served(
        cluster: &Cluster,
        name: &'static str,
        kind: &GroupVersionKind,
    ) -> Result<Self, ClusterError> {
        let version = match cluster.kind_now(kind).await {
            Ok(kind) => Some(kind.resource.version),
            Err(ClusterError::NotServed(_)) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { name, version })
    }
}

/// Runs the orders of one work type.
///
/// `find`, `prepare` and `observe` may be dropped at any await; `start` and `cancel` run to their end.
#[async_trait]
pub trait WorkHandler: Debug + Send + Sync {
    /// The work type it runs.
    fn work_type(&self) -> WorkType;

    /// Looks for the engine, and for what that needs itself.
    ///
    /// # Errors
    ///
    /// If the cluster cannot be asked.
    async fn prerequisites(&self, cluster: &Cluster) -> Result<Vec<Prerequisite>, ClusterError>;

    /// The run of this order, if this attempt or an earlier one of this agent has left one that is to be gone on with.
    ///
    /// # Errors
    ///
    /// If the cluster cannot be asked, or a foreign object has the run's name.
    async fn find(&self, run: Run<'_>) -> Result<Option<ChildReference>, Failure>;

    /// Waits until what the run refers to is ready. The order's manifests have been applied.
    ///
    /// # Errors
    ///
    /// If it never will be.
    async fn prepare(&self, run: Run<'_>) -> Result<(), Failure>;

    /// Starts the run. Safe to repeat: the run's name follows from the order and the attempt.
    ///
    /// # Errors
    ///
    /// If the cluster does not take it.
    async fn start(&self, run: Run<'_>) -> Result<ChildReference, Failure>;

    /// Waits for the end of the run, reporting progress. With `cancel_asked` it also waits for what may outlive the
    /// run's own object.
    async fn observe(&self, run: Run<'_>, child: &ChildReference, cancel_asked: bool) -> Outcome;

    /// Asks the engine to stop the run. That it has stopped is seen by observing it.
    ///
    /// # Errors
    ///
    /// If the cluster does not take the request.
    async fn cancel(&self, run: Run<'_>, child: &ChildReference) -> Result<(), Failure>;
}

/// The handlers, by work type.
#[derive(Clone, Debug)]
pub struct Handlers {
    by_type: BTreeMap<WorkType, Arc<dyn WorkHandler>>,
}

impl Handlers {
    /// Every handler of this agent.
    pub fn new() -> Self {
        Self::of([Arc::new(shipwright::Shipwright) as Arc<dyn WorkHandler>])
    }

    /// The given handlers.
    pub fn of(handlers: impl IntoIterator<Item = Arc<dyn WorkHandler>>) -> Self {
        Self {
            by_type: handlers
                .into_iter()
                .map(|handler| (handler.work_type(), handler))
                .collect(),
        }
    }

    /// The handler of a work type.
    pub fn get(&self, work_type: WorkType) -> Option<&dyn WorkHandler> {
        self.by_type.get(&work_type).map(AsRef::as_ref)
    }

    /// Every handler.
    pub fn iter(&self) -> impl Iterator<Item = &dyn WorkHandler> {
        self.by_type.values().map(AsRef::as_ref)
    }

    /// The work types this agent can run.
    pub fn work_types(&self) -> impl Iterator<Item = WorkType> + '_ {
        self.by_type.keys().copied()
    }
}

impl Default for Handlers {
    fn default() -> Self {
        Self::new()
    }
}

impl Run<'_> {
    /// The name of this attempt's run.
    pub fn child_name(&self) -> String {
        child_name(&self.claim.uid, self.claim.attempt)
    }

    /// Reports the object that runs the work; it reaches the hub at once.
    pub fn report_child(&self, child: &ChildReference, message: String) {
        let child_ref = Some(child.clone());
        self.report(Progress {
            child_ref,
            ..running(message)
        });
    }

    /// Reports what the run is doing.
    pub fn report_running(&self, message: String) {
        self.report(running(message));
    }

    /// Reports what is done before the run starts.
    pub fn report_preparing(&self, message: String) {
        self.report(Progress {
            phase: Some(ProgressPhase::Claimed),
            message: Some(message),
            ..Progress::default()
        });
    }

    fn report(&self, progress: Progress) {
        let message = progress.message.map(crate::outcome::cut);
        self.claims.report(
            &self.claim.uid,
            self.claim.fence,
            Progress { message, ..progress },
        );
    }
}

fn running(message: String) -> Progress {
    Progress {
        phase: Some(ProgressPhase::Running),
        message: Some(message),
        ..Progress::default()
    }
}
