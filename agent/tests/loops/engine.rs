//! An engine in memory: runs end when a test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use brokkr_agent::cluster::{Cluster, ClusterError};
use brokkr_agent::handler::{Prerequisite, Run, WorkHandler};
use brokkr_agent::outcome::{Failure, Outcome};
use brokkr_apis::work::v1alpha1::{ChildReference, Results, WorkType, reasons};
use tokio::sync::watch;

/// The runs of all orders, by the name of the order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Engine {
    runs: Arc<Mutex<BTreeMap<String, watch::Sender<Option<Outcome>>>>>,
    cancelled: Arc<Mutex<BTreeSet<String>>>,
    deleted: Arc<Mutex<BTreeSet<String>>>,
    /// Leaves it to the test to end what was asked to stop.
    stops_slowly: Arc<AtomicBool>,
    starts: Arc<Mutex<Vec<String>>>,
}

impl Engine {
    /// Ends a run with success.
    pub(crate) fn finish(&self, order: &str) {
        let outcome = Outcome::Succeeded {
            results: Results::new(),
            message: "done".to_owned(),
        };
        self.end(order, outcome);
    }

    /// Ends a run.
    pub(crate) fn end(&self, order: &str, outcome: Outcome) {
        self.run(order).send_replace(Some(outcome));
    }

    /// Ends a run that was asked to stop.
    pub(crate) fn stopped(&self, order: &str) {
        let outcome = Outcome::Cancelled {
            execution_started: true,
            child_confirmed_ended: true,
            message: "stopped".to_owned(),
        };
        self.end(order, outcome);
    }

    /// From now on runs that are asked to stop go on until the test says that they have.
    pub(crate) fn stop_slowly(&self) {
        self.stops_slowly.store(true, Ordering::SeqCst);
    }

    /// Deletes a run.
    pub(crate) fn delete(&self, order: &str) {
        self.deleted.lock().unwrap().insert(order.to_owned());
        let deleted = Failure::before_start(reasons::UNKNOWN, "the run was deleted").run_may_be_alive();
        self.end(order, deleted.into());
    }

    /// The orders whose runs were started, in order, each as often as it was.
    pub(crate) fn started(&self) -> Vec<String> {
        self.starts.lock().unwrap().clone()
    }

    /// Whether a run was stopped.
    pub(crate) fn was_cancelled(&self, order: &str) -> bool {
        self.cancelled.lock().unwrap().contains(order)
    }

    fn run(&self, order: &str) -> watch::Sender<Option<Outcome>> {
        self.runs
            .lock()
            .unwrap()
            .entry(order.to_owned())
            .or_default()
            .clone()
    }
}

fn child(run: Run<'_>) -> ChildReference {
    ChildReference {
        kind: "Run".to_owned(),
        namespace: run.namespace.to_owned(),
        name: run.child_name(),
        ..ChildReference::default()
    }
}

#[async_trait]
impl WorkHandler for Engine {
    fn work_type(&self) -> WorkType {
        WorkType::Build
    }

    async fn prerequisites(&self, _: &Cluster) -> Result<Vec<Prerequisite>, ClusterError> {
        Ok(vec![Prerequisite {
            name: "engine",
            version: Some("v1".to_owned()),
        }])
    }

    async fn find(&self, run: Run<'_>) -> Result<Option<ChildReference>, Failure> {
        let is_there = self.started().contains(&run.claim.name)
            && !self.deleted.lock().unwrap().contains(&run.claim.name);
        Ok(is_there.then(|| child(run)))
    }

    async fn prepare(&self, _: Run<'_>) -> Result<(), Failure> {
        Ok(())
    }

    async fn start(&self, run: Run<'_>) -> Result<ChildReference, Failure> {
        self.starts.lock().unwrap().push(run.claim.name.clone());
        Ok(child(run))
    }

    async fn observe(&self, run: Run<'_>, child: &ChildReference, _: bool) -> Outcome {
        run.report_child(child, "running".to_owned());
        let mut ended = self.run(&run.claim.name).subscribe();
        let ended = ended.wait_for(Option::is_some).await.unwrap();
        ended.clone().unwrap()
    }

    async fn cancel(&self, run: Run<'_>, _: &ChildReference) -> Result<(), Failure> {
        self.cancelled.lock().unwrap().insert(run.claim.name.clone());
        if !self.stops_slowly.load(Ordering::SeqCst) {
            self.stopped(&run.claim.name);
        }
        Ok(())
    }
}
