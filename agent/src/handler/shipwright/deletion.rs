//! What becomes of a run whose BuildRun somebody has deleted, perhaps with its namespace.

use std::time::Duration;

use brokkr_apis::work::v1alpha1::{ChildReference, reasons};
use kube::api::ListParams;
use kube::core::GroupVersionKind;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::cluster::{ClusterError, call};
use crate::handler::Run;
use crate::outcome::{Failure, Outcome};

/// The label of all that belongs to a BuildRun.
const BUILD_RUN_LABEL: &str = "buildrun.shipwright.io/name";

/// How often is looked whether something of the run is left.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long that is waited for: pods have a grace period, of 30 seconds by default.
const PATIENCE: Duration = Duration::from_secs(60);

/// The outcome of a run without its BuildRun: what that owned goes with it, and has ended once it is gone.
pub(super) async fn deleted(run: Run<'_>, child: &ChildReference, cancel_asked: bool) -> Outcome {
    let child_confirmed_ended = nothing_left(run, child).await;
    let message = format!("BuildRun {} was deleted before its end was seen", child.name);
    if cancel_asked {
        return Outcome::Cancelled {
            execution_started: true,
            child_confirmed_ended,
            message,
        };
    }
    let failure = Failure::before_start(reasons::UNKNOWN, message)
        .with_source("BuildRunDeleted")
        .run_may_be_alive();
    Failure {
        child_confirmed_ended,
        ..failure
    }
    .into()
}

/// Waits until nothing is left of what a deleted BuildRun owned; false if that takes too long or cannot be seen.
async fn nothing_left(run: Run<'_>, child: &ChildReference) -> bool {
    let patience = Instant::now() + PATIENCE;
    loop {
        match is_left(run, child).await {
            Ok(false) => return true,
            Ok(true) => {}
            Err(error) => warn!(build_run = child.name, %error, "cannot look for what the BuildRun left"),
        }
        if Instant::now() >= patience {
            return false;
        }
        sleep(INTERVAL).await;
    }
}

/// Whether there is an executor or a pod of the BuildRun.
async fn is_left(run: Run<'_>, child: &ChildReference) -> Result<bool, ClusterError> {
    let of_run = ListParams::default().labels(&format!("{BUILD_RUN_LABEL}={}", child.name));
    let owned = [
        ("tekton.dev", "PipelineRun"),
        ("tekton.dev", "TaskRun"),
        ("", "Pod"),
    ];
    for (group, kind) in owned {
        let kind = match run.cluster.kind(&GroupVersionKind::gvk(group, "v1", kind)).await {
            Err(ClusterError::NotServed(_)) => continue,
            kind => kind?,
        };
        let objects = run.cluster.read(&kind, run.namespace);
        if !call(|| objects.list(&of_run)).await?.items.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
