//! Work type `build`: a Shipwright Build by name, run as a BuildRun.
//!
//! Shipwright does all the work; this creates the BuildRun, watches it, and cancels it. What its conditions mean is in
//! [`crate::outcome::build_run`].

mod deletion;
mod manifest;

use std::time::Duration;

use async_trait::async_trait;
use brokkr_apis::work::v1alpha1::{ChildReference, WorkType, reasons};
use futures::StreamExt;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use self::deletion::deleted;
use super::{Prerequisite, Run, WorkHandler, is_child_of};
use crate::apply::{self, BUILD_KIND, SHIPWRIGHT_GROUP, SHIPWRIGHT_VERSION};
use crate::cluster::{Cluster, ClusterError, ServedKind, call};
use crate::doorbell::reconnect;
use crate::outcome::build_run::{Executor, Observed};
use crate::outcome::{Failure, Outcome, build_run};
use crate::permissions::{self, Attempted};

/// How often the executor of a cancelled BuildRun is looked at until it has ended.
const EXECUTOR_INTERVAL: Duration = Duration::from_secs(2);

/// How long the executor of an ended BuildRun is waited for. A PipelineRun runs its `finally` tasks when cancelled.
const EXECUTOR_PATIENCE: Duration = Duration::from_secs(60);

/// Runs builds.
#[derive(Debug, Default)]
pub struct Shipwright;

#[async_trait]
impl WorkHandler for Shipwright {
    fn work_type(&self) -> WorkType {
        WorkType::Build
    }

    async fn prerequisites(&self, cluster: &Cluster) -> Result<Vec<Prerequisite>, ClusterError> {
        let build_run = GroupVersionKind::gvk(SHIPWRIGHT_GROUP, SHIPWRIGHT_VERSION, "BuildRun");
        let task_run = tekton_kind("TaskRun");
        Ok(vec![
            Prerequisite::served(cluster, "shipwright", &build_run).await?,
            Prerequisite::served(cluster, "tekton", &task_run).await?,
        ])
    }

    async fn find(&self, run: Run<'_>) -> Result<Option<ChildReference>, Failure> {
        let kind = served(run, "BuildRun").await?;
        let build_runs = run.cluster.read(&kind, run.namespace);
        let earlier = run
            .claim
            .unfinished_children
            .iter()
            .filter(|child| child.agent == run.agent);
        for name in earlier.map(|child| child.name.as_str()) {
            let found = get(&build_runs, name)
                .await
                .map_err(|error| unseen(run, name, &error))?;
            if let Some(found) =
                found.filter(|found| is_child_of(found, &run.claim.uid) && is_worth_adopting(found))
            {
                info!(build_run = name, "adopting the run of an earlier attempt");
                return Ok(Some(reference(run, &found)));
            }
        }
        let name = run.child_name();
        match get(&build_runs, &name)
            .await
            .map_err(|error| unseen(run, &name, &error))?
        {
            None => Ok(None),
            Some(found) => own(run, &found).map(Some),
        }
    }

    async fn prepare(&self, run: Run<'_>) -> Result<(), Failure> {
        let name = build_name(run)?;
        run.report_preparing(format!("waiting for Build {name} to be registered"));
        let kind = served(run, BUILD_KIND).await?;
        apply::build_registered(&run.cluster.read(&kind, run.namespace), name).await
    }

    async fn start(&self, run: Run<'_>) -> Result<ChildReference, Failure> {
        let kind = served(run, "BuildRun").await?;
        let build = read_build(run).await.unwrap_or_default();
        let manifest = manifest::build_run(run, &kind.resource, build_name(run)?, &build);
        let name = manifest.name_any();
        let build_runs = run
            .cluster
            .write(&kind, run.namespace)
            .map_err(|error| failed(run, "create", &name, &error))?;
        let plain = PostParams::default();
        let child = match call(|| build_runs.create(&plain, &manifest)).await {
            Ok(created) => reference(run, &created),
            Err(refusal) => created_before(run, &kind, &name, &refusal).await?,
        };
        info!(
            build_run = child.name,
            namespace = run.namespace,
            "BuildRun started"
        );
        Ok(child)
    }

    async fn observe(&self, run: Run<'_>, child: &ChildReference, cancel_asked: bool) -> Outcome {
        run.report_child(child, format!("BuildRun {} started", child.name));
        let kind = match served(run, "BuildRun").await {
            Ok(kind) => kind,
            Err(failure) => return failure.run_may_be_alive().into(),
        };
        let build_run = match wait_for_end(run, &run.cluster.read(&kind, run.namespace), child).await {
            Some(build_run) => build_run,
            None => return deleted(run, child, cancel_asked).await,
        };
        let build = read_build(run).await;
        let executor = ended_executor(run, &build_run, cancel_asked).await;
        let observed = Observed {
            build_run: &build_run,
            build: build.as_ref(),
            executor: executor.as_ref(),
            cancel_asked,
        };
        // wait_for_end returns only what has one.
        match build_run::outcome(observed) {
            Some(outcome) => outcome,
            None => deleted(run, child, cancel_asked).await,
        }
    }

    async fn cancel(&self, run: Run<'_>, child: &ChildReference) -> Result<(), Failure> {
        let kind = served(run, "BuildRun").await?;
        let state = json!({"spec": {"state": "BuildRunCanceled"}});
        let Some(build_run) = patch(run, &kind, &child.name, &state).await? else {
            return Ok(());
        };
        match build_run::executor(&build_run) {
            Some(executor) => cancel_executor(run, &executor).await,
            None => Ok(()),
        }
    }
}

/// The run whose creation was refused, if it is there all the same: created by an earlier process, or by a call of this
/// one whose answer was lost. Read as the agent, since the runner may only write.
async fn created_before(
    run: Run<'_>,
    kind: &ServedKind,
    name: &str,
    refusal: &ClusterError,
) -> Result<ChildReference, Failure> {
    match get(&run.cluster.read(kind, run.namespace), name).await {
        Ok(Some(existing)) => own(run, &existing),
        Ok(None) => Err(not_created(run, name, refusal)),
        Err(error) => {
            let failure = unseen(run, name, &error);
            let message = format!("{}; its creation was refused: {refusal}", failure.message);
            Err(Failure { message, ..failure })
        }
    }
}

/// The failure of a creation that has left nothing to be seen. One without an answer may still take effect, and a run
/// that was there a moment ago may have left pods.
fn not_created(run: Run<'_>, name: &str, refusal: &ClusterError) -> Failure {
    let failure = failed(run, "create", name, refusal);
    match refusal {
        ClusterError::Unavailable(_) | ClusterError::AlreadyExists(_) => failure.run_may_be_alive(),
        _ => failure,
    }
}

/// Stops a PipelineRun. It is not stopped through its BuildRun, which is marked cancelled while the work goes on; a
/// TaskRun is.
async fn cancel_executor(run: Run<'_>, executor: &Executor) -> Result<(), Failure> {
    if executor.kind != "PipelineRun" {
        return Ok(());
    }
    let kind = served_kind(run, &tekton_kind(&executor.kind)).await?;
    let status = json!({"spec": {"status": "Cancelled"}});
    patch(run, &kind, &executor.name, &status).await.map(drop)
}

fn tekton_kind(kind: &str) -> GroupVersionKind {
    GroupVersionKind::gvk("tekton.dev", "v1", kind)
}

async fn served(run: Run<'_>, kind: &str) -> Result<ServedKind, Failure> {
    served_kind(
        run,
        &GroupVersionKind::gvk(SHIPWRIGHT_GROUP, SHIPWRIGHT_VERSION, kind),
    )
    .await
}

async fn served_kind(run: Run<'_>, gvk: &GroupVersionKind) -> Result<ServedKind, Failure> {
    run.cluster
        .kind(gvk)
        .await
        .map_err(|error| failed(run, "use", &gvk.kind, &error))
}

/// The Build the order names.
fn build_name(run: Run<'_>) -> Result<&str, Failure> {
    let build_ref = run.claim.order.spec.build_ref.as_ref();
    build_ref
        .map(|build| build.name.as_str())
        .ok_or_else(|| Failure::before_start(reasons::INVALID_SPEC, "spec.buildRef is missing"))
}

async fn get(objects: &Api<DynamicObject>, name: &str) -> Result<Option<DynamicObject>, ClusterError> {
    call(|| objects.get_opt(name)).await
}

/// The Build, for what its BuildRun does not say. None if it cannot be read.
async fn read_build(run: Run<'_>) -> Option<Value> {
    let kind = served(run, BUILD_KIND).await.ok()?;
    let build = get(&run.cluster.read(&kind, run.namespace), build_name(run).ok()?)
        .await
        .ok()??;
    serde_json::to_value(build).ok()
}

/// An unfinished run goes on, and one that succeeded need not be repeated. A failed or cancelled one belongs to the
/// attempt that is over.
fn is_worth_adopting(build_run: &DynamicObject) -> bool {
    let run = serde_json::to_value(build_run).unwrap_or_default();
    let observed = Observed {
        build_run: &run,
        build: None,
        executor: None,
        cancel_asked: false,
    };
    let asked_to_stop = run.pointer("/spec/state").and_then(Value::as_str) == Some("BuildRunCanceled");
    match build_run::outcome(observed) {
        None => !asked_to_stop,
        Some(outcome) => matches!(outcome, Outcome::Succeeded { .. }),
    }
}

/// The reference to an object that has the run's name, if it was started for this order.
fn own(run: Run<'_>, found: &DynamicObject) -> Result<ChildReference, Failure> {
    if is_child_of(found, &run.claim.uid) {
        return Ok(reference(run, found));
    }
    let message = format!(
        "BuildRun {} in namespace {} was not created for this order; delete it, then create the order again",
        found.name_any(),
        run.namespace
    );
    Err(Failure::before_start(reasons::FORBIDDEN, message)
        .with_source("Conflict")
        .of_agent())
}

fn reference(run: Run<'_>, build_run: &DynamicObject) -> ChildReference {
    ChildReference {
        api_version: format!("{SHIPWRIGHT_GROUP}/{SHIPWRIGHT_VERSION}"),
        kind: "BuildRun".to_owned(),
        namespace: run.namespace.to_owned(),
        name: build_run.name_any(),
        uid: build_run.uid(),
    }
}

/// Watches a BuildRun until it has ended; None if it is deleted. An API server that is away is waited for.
async fn wait_for_end(
    run: Run<'_>,
    build_runs: &Api<DynamicObject>,
    child: &ChildReference,
) -> Option<Value> {
    let states = watcher::watch_object(build_runs.clone(), &child.name).backoff(reconnect());
    let mut states = std::pin::pin!(states);
    while let Some(state) = states.next().await {
        match state {
            Ok(Some(object)) => {
                let build_run = serde_json::to_value(object).unwrap_or_default();
                let observed = Observed {
                    build_run: &build_run,
                    build: None,
                    executor: None,
                    cancel_asked: false,
                };
                if build_run::outcome(observed).is_some() {
                    return Some(build_run);
                }
                run.report_running(build_run::progress_message(&build_run));
            }
            Ok(None) => return None,
            Err(error) => warn!(build_run = child.name, %error, "cannot watch the BuildRun; trying again"),
        }
    }
    None
}

/// The executor of an ended BuildRun: for its exit code, and because a cancelled PipelineRun ends later.
async fn ended_executor(run: Run<'_>, build_run: &Value, cancel_asked: bool) -> Option<Value> {
    let executor = build_run::executor(build_run)?;
    let kind = served_kind(run, &tekton_kind(&executor.kind)).await.ok()?;
    let runs = run.cluster.read(&kind, run.namespace);
    let patience = Instant::now()
        + if cancel_asked {
            EXECUTOR_PATIENCE
        } else {
            EXECUTOR_INTERVAL
        };
    loop {
        let found = get(&runs, &executor.name).await.ok()??;
        let found = serde_json::to_value(found).unwrap_or_default();
        if build_run::executor_ended(&found) || Instant::now() >= patience {
            return Some(found);
        }
        // It may have come into being while its BuildRun was being cancelled.
        if cancel_asked && let Err(failure) = cancel_executor(run, &executor).await {
            warn!(
                executor = executor.name,
                error = failure.message,
                "the executor was not cancelled"
            );
        }
        sleep(EXECUTOR_INTERVAL).await;
    }
}

/// Patches an object as the runner; None if it is gone.
async fn patch(
    run: Run<'_>,
    kind: &ServedKind,
    name: &str,
    change: &Value,
) -> Result<Option<Value>, Failure> {
    let refused = |error: &ClusterError| failed(run, "patch", name, error);
    let objects = run
        .cluster
        .write(kind, run.namespace)
        .map_err(|error| refused(&error))?;
    let (plain, change) = (PatchParams::default(), Patch::Merge(change));
    match call(|| objects.patch(name, &plain, &change)).await {
        Ok(object) => Ok(serde_json::to_value(object).ok()),
        Err(ClusterError::NotFound(_)) => Ok(None),
        Err(error) => Err(refused(&error)),
    }
}

/// The failure of a look, as the agent, at a run that may be there.
fn unseen(run: Run<'_>, name: &str, error: &ClusterError) -> Failure {
    let reason = match error {
        ClusterError::Forbidden(_) => reasons::FORBIDDEN,
        _ => reasons::API_UNAVAILABLE,
    };
    let message = format!(
        "cannot see whether BuildRun {name} is in namespace {}: {error}",
        run.namespace
    );
    Failure::before_start(reason, message)
        .of_agent()
        .run_may_be_alive()
}

fn failed(run: Run<'_>, verb: &str, name: &str, error: &ClusterError) -> Failure {
    let attempted = Attempted {
        what: &format!("{verb} {name}"),
        verbs: "create,patch",
        resource: "buildruns.shipwright.io",
        namespace: run.namespace,
        runner: run.cluster.runner_account(),
    };
    permissions::failure(error, attempted)
}
