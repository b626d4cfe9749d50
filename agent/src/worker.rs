//! What happens to one order: claim -> apply -> run -> report.
//!
//! [`Worker::work`] is the whole story of an order and nothing else; who claims, who renews and who stops the process is
//! in [`crate::agent`].

use std::time::{Duration, Instant};

use brokkr_apis::work::v1alpha1::{ChildReference, HeldClaim, WorkType, reasons};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::apply;
use crate::claim::{Claim, ClaimTable, Directive};
use crate::cluster::Cluster;
use crate::config::WorkOrdersConfig;
use crate::handler::{Handlers, Run, WorkHandler};
use crate::hub::{Hub, HubError};
use crate::outcome::{Failure, Outcome};
use crate::report;

/// How long the end of a stopped run is waited for after its claim is gone: nobody but the log wants to know.
const LOST_PATIENCE: Duration = Duration::from_secs(60);

/// How soon a request to stop a run is made again if the cluster does not take it.
const CANCEL_INTERVAL: Duration = Duration::from_secs(5);

/// How soon the run of an adopted order is looked for again if the cluster is away.
const FIND_INTERVAL: Duration = Duration::from_secs(5);

/// Runs orders.
#[derive(Debug)]
pub struct Worker {
    /// The hub.
    pub hub: Hub,
    /// The cluster where the work runs.
    pub cluster: Cluster,
    /// What can be run.
    pub handlers: Handlers,
    /// What is held.
    pub claims: ClaimTable,
    /// How work orders are run.
    pub config: WorkOrdersConfig,
    /// The hub's name for labels, if it has one.
    pub hub_id: Option<String>,
}

/// Leaves the claim table in order whatever becomes of the run, a panic included.
struct Entry<'a> {
    worker: &'a Worker,
    claim: &'a Claim,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.worker.claims.end(&self.claim.uid, self.claim.fence);
    }
}

impl Worker {
    /// Runs a claimed order and reports how it ended, unless the claim is lost or the agent is about to exit.
    pub async fn work(&self, claim: &Claim, mut directive: watch::Receiver<Directive>) {
        let _entry = Entry { worker: self, claim };
        info!(work_type = claim.order.spec.work_type, fence = %claim.fence, "order begun");
        let begun = Instant::now();
        let outcome = self.run(claim, &mut directive).await;
        self.hub
            .metrics()
            .ended(claim.work_type(), outcome.as_ref(), begun);
        match outcome {
            Some(outcome) => report::deliver(&self.hub, claim, outcome, &mut directive).await,
            None => info!("order left to whoever holds it next"),
        }
    }

    /// The run, from its manifests to its end. None if it was left as it is.
    async fn run(&self, claim: &Claim, directive: &mut watch::Receiver<Directive>) -> Option<Outcome> {
        let Some(handler) = claim
            .work_type()
            .and_then(|work_type| self.handlers.get(work_type))
        else {
            return self.give_back(claim).await;
        };
        let namespace = self.config.namespace_of(&claim.namespace);
        let run = self.run_of(claim, namespace);
        let ready = tokio::select! {
            ready = make_ready(handler, run) => ready,
            command = changed(directive) => return self.interrupted(handler, run, command, directive).await,
        };
        // Never dropped half-way: a request that was sent may have created the run.
        let child = match ready {
            Ok(Some(child)) => child,
            Ok(None) => {
                self.hub.metrics().applied(claim.order.spec.manifests.len());
                match handler.start(run).await {
                    Ok(child) => child,
                    Err(failure) => return Some(failure.into()),
                }
            }
            Err(failure) => return Some(failure.into()),
        };
        tokio::select! {
            outcome = handler.observe(run, &child, false) => Some(outcome),
            command = changed(directive) => self.stop_or_leave(handler, run, &child, command, directive).await,
        }
    }

    fn run_of<'a>(&'a self, claim: &'a Claim, namespace: &'a str) -> Run<'a> {
        Run {
            claim,
            agent: self.hub.agent(),
            hub_id: self.hub_id.as_deref(),
            namespace,
            cluster: &self.cluster,
            config: &self.config,
            claims: &self.claims,
        }
    }

    /// Ends an order that was interrupted before its run was started, or so it seems: an earlier process may have.
    async fn interrupted(
        &self,
        handler: &dyn WorkHandler,
        run: Run<'_>,
        command: Directive,
        directive: &mut watch::Receiver<Directive>,
    ) -> Option<Outcome> {
        let Directive::Cancel { reason } = &command else {
            return None;
        };
        match look(handler, run).await {
            Ok(None) => Some(Outcome::Cancelled {
                execution_started: false,
                child_confirmed_ended: true,
                message: format!("cancelled before anything was started: {reason}"),
            }),
            Ok(Some(child)) => self.stop_or_leave(handler, run, &child, command, directive).await,
            Err(failure) => Some(failure.run_may_be_alive().into()),
        }
    }

    /// Does with a run what its directive says.
    async fn stop_or_leave(
        &self,
        handler: &dyn WorkHandler,
        run: Run<'_>,
        child: &ChildReference,
        command: Directive,
        directive: &mut watch::Receiver<Directive>,
    ) -> Option<Outcome> {
        info!(directive = ?command, "run interrupted");
        match command {
            Directive::Continue | Directive::Detach | Directive::Lost { stop: false } => None,
            Directive::Lost { stop: true } => timeout(LOST_PATIENCE, stop(handler, run, child)).await.ok(),
            Directive::Cancel { .. } => tokio::select! {
                outcome = stop(handler, run, child) => Some(outcome),
                () = given_up(directive) => None,
            },
        }
    }

    /// Gives back an order of a type this agent does not run; it may have been claimed by a later version.
    async fn give_back(&self, claim: &Claim) -> Option<Outcome> {
        let reason = format!(
            "agent {} does not run work type {:?}",
            self.hub.agent(),
            claim.order.spec.work_type
        );
        let released = self
            .hub
            .release(&claim.namespace, &claim.name, &claim.uid, claim.fence, &reason)
            .await;
        if let Err(error) = released {
            warn!(%error, reason, "the order could not be given back; its claim will lapse");
        }
        None
    }

    /// Which types have a place, and how many orders fit in all.
    pub fn room(&self, places: usize, places_of: impl Fn(&str) -> Option<usize>) -> (usize, Vec<WorkType>) {
        let (held, by_type) = self.claims.usage();
        let has_place = |work_type: &WorkType| {
            let held = by_type.get(work_type).copied().unwrap_or_default();
            places_of(work_type.as_str()).is_none_or(|limit| held < limit)
        };
        (
            places.saturating_sub(held),
            self.handlers.work_types().filter(has_place).collect(),
        )
    }

    /// Gets back a claim this process does not know. With `takeover` also one of an earlier process.
    pub async fn adopt(&self, held: &HeldClaim, takeover: bool) -> Option<Claim> {
        match self.hub.claim_order(&held.namespace, &held.name, takeover).await {
            Ok(status) => Claim::adopted(status),
            Err(error) => {
                let gone = matches!(error, HubError::Refused { .. });
                warn!(order = format!("{}/{}", held.namespace, held.name), %error, gone, "claim not adopted");
                None
            }
        }
    }
}

/// Finds a run that was started before, or makes everything ready for a new one (None).
async fn make_ready(handler: &dyn WorkHandler, run: Run<'_>) -> Result<Option<ChildReference>, Failure> {
    if run.claim.may_have_child()
        && let Some(child) = find(handler, run).await?
    {
        return Ok(Some(child));
    }
    apply::apply(run).await?;
    handler.prepare(run).await?;
    Ok(None)
}

/// Finds the run, however long the cluster is away: an order whose run may be alive must not be reported as failed.
async fn find(handler: &dyn WorkHandler, run: Run<'_>) -> Result<Option<ChildReference>, Failure> {
    loop {
        match look(handler, run).await {
            Err(failure) if failure.reason == reasons::API_UNAVAILABLE => {
                warn!(
                    error = failure.message,
                    "cannot look for the order's run; trying again"
                );
                sleep(FIND_INTERVAL).await;
            }
            found => return found,
        }
    }
}

/// Looks for the run. One that an earlier process told the hub of and that is not there was deleted: observing it says
/// so, while starting it again would run the order twice.
async fn look(handler: &dyn WorkHandler, run: Run<'_>) -> Result<Option<ChildReference>, Failure> {
    let found = handler.find(run).await?;
    Ok(found.or_else(|| run.claim.recorded_child().cloned()))
}

/// Waits for a directive other than to go on.
async fn changed(directive: &mut watch::Receiver<Directive>) -> Directive {
    match directive
        .wait_for(|directive| *directive != Directive::Continue)
        .await
    {
        Ok(directive) => directive.clone(),
        // The entry is gone from the table, so nobody wants the run.
        Err(_) => Directive::Lost { stop: false },
    }
}

/// Waits until a run that is being stopped is to be left: at once when the agent is about to exit, and a while after
/// its claim is gone, since it must not be left half stopped.
async fn given_up(directive: &mut watch::Receiver<Directive>) {
    let is_later = |directive: &Directive| matches!(directive, Directive::Lost { .. } | Directive::Detach);
    // Without an entry in the table there is no claim either.
    let _ = directive.wait_for(is_later).await;
    tokio::select! {
        () = sleep(LOST_PATIENCE) => {}
        Ok(_) = directive.wait_for(|directive| *directive == Directive::Detach) => {}
    }
}

/// Stops a run and waits until it has ended. The request is repeated until the cluster takes it, unless the run ends by
/// itself.
async fn stop(handler: &dyn WorkHandler, run: Run<'_>, child: &ChildReference) -> Outcome {
    let until_taken = async {
        while let Err(failure) = handler.cancel(run, child).await {
            warn!(
                child = child.name,
                error = failure.message,
                "the run could not be stopped; trying again"
            );
            sleep(CANCEL_INTERVAL).await;
        }
    };
    let ended = handler.observe(run, child, true);
    let mut ended = std::pin::pin!(ended);
    tokio::select! {
        biased;
        () = until_taken => ended.await,
        outcome = &mut ended => outcome,
    }
}
