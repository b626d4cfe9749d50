//! Applying an order's manifests: in their order, each awaited before the next, as the runner of the namespace.
//!
//! Server-side apply makes it safe to repeat after a crash. What would reach beyond the order's own namespace is
//! refused before anything is applied: objects of other namespaces, kinds without a namespace, and Secrets, which travel
//! by reference only.

use std::time::Duration;

use brokkr_apis::work::v1alpha1::reasons;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use crate::cluster::{ClusterError, ServedKind, call};
use crate::handler::Run;
use crate::outcome::Failure;
use crate::outcome::build_run::rejected_build;
use crate::permissions::{self, Attempted};

/// The field manager of everything the agent applies.
pub const FIELD_MANAGER: &str = "brokkr-agent";

/// The API group of Shipwright.
pub const SHIPWRIGHT_GROUP: &str = "shipwright.io";
/// The version of Shipwright's API this agent speaks.
pub const SHIPWRIGHT_VERSION: &str = "v1beta1";
/// The kind of a Shipwright build.
pub const BUILD_KIND: &str = "Build";

/// How long a Build is waited for to be registered. Validation takes milliseconds; the rest is for a Build that is
/// created a moment after the order, and for a controller that is being restarted.
const REGISTRATION_PATIENCE: Duration = Duration::from_secs(20);

/// How long a Build may be missing or say that it is rejected before that is believed: an order and its Build are often
/// created together, and a Build's status does not tell which generation it is about.
const REJECTION_PATIENCE: Duration = Duration::from_secs(3);

const REGISTRATION_INTERVAL: Duration = Duration::from_millis(300);

/// A manifest that may be applied.
#[derive(Debug)]
struct Manifest {
    kind: ServedKind,
    object: DynamicObject,
}

/// Applies the order's manifests.
///
/// # Errors
///
/// The first manifest that is refused, by the agent or by the cluster.
pub async fn apply(run: Run<'_>) -> Result<(), Failure> {
    check_namespace(run.namespace)?;
    let mut manifests = Vec::new();
    for (index, manifest) in run.claim.order.spec.manifests.iter().enumerate() {
        manifests.push(checked(run, index, Value::Object(manifest.clone())).await?);
    }
    for (index, manifest) in manifests.iter().enumerate() {
        let (kind, name) = (&manifest.kind.resource.kind, manifest.object.name_any());
        run.report_preparing(format!(
            "applying {kind} {name} ({} of {})",
            index + 1,
            manifests.len()
        ));
        apply_one(run, manifest).await?;
        await_ready(run, manifest).await?;
    }
    Ok(())
}

/// Refuses the namespaces of Kubernetes itself.
fn check_namespace(namespace: &str) -> Result<(), Failure> {
    if namespace.starts_with("kube-") {
        let message = format!("no work runs in namespace {namespace}: kube- namespaces are refused");
        return Err(Failure::before_start(reasons::FORBIDDEN, message).of_agent());
    }
    Ok(())
}

/// Checks one manifest, and puts it into the namespace of the order.
async fn checked(run: Run<'_>, index: usize, manifest: Value) -> Result<Manifest, Failure> {
    let refuse = |problem: String| {
        Failure::before_start(
            reasons::INVALID_SPEC,
            format!("spec.manifests[{index}]: {problem}"),
        )
    };
    let mut object: DynamicObject =
        serde_json::from_value(manifest).map_err(|error| refuse(format!("is not an object: {error}")))?;
    let types = object
        .types
        .as_ref()
        .ok_or_else(|| refuse("apiVersion and kind are missing".to_owned()))?;
    let gvk = GroupVersionKind::try_from(types).map_err(|error| refuse(error.to_string()))?;
    if gvk.group.is_empty() && gvk.kind == "Secret" {
        return Err(refuse(
            "a Secret may not travel in an order; create it in the cluster and refer to it".to_owned(),
        ));
    }
    if object.metadata.name.as_deref().is_none_or(str::is_empty) {
        return Err(refuse(
            "metadata.name is missing; generateName would create another object on every try".to_owned(),
        ));
    }
    let attempted = format!("apply {} {}", gvk.kind, object.name_any());
    let kind = run
        .cluster
        .kind(&gvk)
        .await
        .map_err(|error| failed(run, &attempted, &gvk, &error))?;
    if !kind.namespaced {
        return Err(refuse(format!(
            "{} is cluster-scoped; only objects in the order's namespace are applied",
            gvk.kind
        )));
    }
    let own = [run.namespace, run.claim.namespace.as_str()];
    match object.metadata.namespace.as_deref() {
        Some(other) if !own.contains(&other) => Err(refuse(format!(
            "namespace {other} is not that of the order, {}; leave it out",
            run.claim.namespace
        ))),
        _ => {
            object.metadata.namespace = Some(run.namespace.to_owned());
            Ok(Manifest { kind, object })
        }
    }
}

async fn apply_one(run: Run<'_>, manifest: &Manifest) -> Result<(), Failure> {
    let (kind, name) = (&manifest.kind.resource.kind, manifest.object.name_any());
    let refused = |error: &ClusterError| refused(run, manifest, &format!("apply {kind} {name}"), error);
    let objects = run
        .cluster
        .write(&manifest.kind, run.namespace)
        .map_err(|error| refused(&error))?;
    // Fields another writer owns are taken over, as the order is the later word.
    let as_ours = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(&manifest.object);
    call(|| objects.patch(&name, &as_ours, &patch))
        .await
        .map_err(|error| refused(&error))?;
    debug!(kind, name, "applied");
    Ok(())
}

/// Waits for kinds that are not ready as soon as they are stored.
async fn await_ready(run: Run<'_>, manifest: &Manifest) -> Result<(), Failure> {
    let resource = &manifest.kind.resource;
    if resource.group != SHIPWRIGHT_GROUP || resource.kind != BUILD_KIND {
        return Ok(());
    }
    let builds = run.cluster.read(&manifest.kind, run.namespace);
    let name = manifest.object.name_any();
    match build_registered(&builds, &name).await {
        // Shipwright does not look again when the strategy appears later: the Build is made anew, once.
        Err(rejected) if rejected.reason == reasons::BUILD_STRATEGY_NOT_FOUND => {
            info!(build = name, "re-creating a rejected Build");
            recreate(run, manifest, &builds).await?;
            build_registered(&builds, &name).await
        }
        decided => decided,
    }
}

/// Deletes a rejected Build that this order brought along, exactly as it was seen, and applies it again.
async fn recreate(run: Run<'_>, manifest: &Manifest, builds: &Api<DynamicObject>) -> Result<(), Failure> {
    let name = manifest.object.name_any();
    let refused = |error: &ClusterError| refused(run, manifest, &format!("delete Build {name}"), error);
    let Some(seen) = call(|| builds.get_opt(&name))
        .await
        .map_err(|error| refused(&error))?
    else {
        return apply_one(run, manifest).await;
    };
    let writable = run
        .cluster
        .write(&manifest.kind, run.namespace)
        .map_err(|error| refused(&error))?;
    let exactly = DeleteParams {
        preconditions: Some(kube::api::Preconditions {
            uid: seen.uid(),
            resource_version: seen.resource_version(),
        }),
        ..DeleteParams::default()
    };
    match call(|| writable.delete(&name, &exactly)).await {
        Ok(_) | Err(ClusterError::NotFound(_)) => apply_one(run, manifest).await,
        Err(error) => Err(refused(&error)),
    }
}

/// Waits until Shipwright has registered a Build: a run of one that is not fails for good.
///
/// # Errors
///
/// If the Build is missing or rejected, or nobody decides.
pub async fn build_registered(builds: &Api<DynamicObject>, name: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let found = call(|| builds.get_opt(name))
            .await
            .map_err(|error| unreadable(name, &error))?;
        let build = serde_json::to_value(&found).unwrap_or_default();
        let registered = build.pointer("/status/registered").and_then(Value::as_str);
        let waited = begun.elapsed();
        match (&found, registered) {
            (Some(_), Some("True")) => return Ok(()),
            (Some(_), Some("False")) if waited >= REJECTION_PATIENCE => return Err(rejected_build(&build)),
            (None, _) if waited >= REJECTION_PATIENCE => return Err(missing(name)),
            (_, _) if waited >= REGISTRATION_PATIENCE => return Err(undecided(name)),
            _ => sleep(REGISTRATION_INTERVAL).await,
        }
    }
}

fn missing(name: &str) -> Failure {
    let message = format!(
        "there is no Build {name} in the order's namespace of this cluster; create it, or send it \
        along in spec.manifests"
    );
    Failure::before_start(reasons::REFERENCE_NOT_FOUND, message).with_source("BuildNotFound")
}

fn undecided(name: &str) -> Failure {
    let message = format!(
        "Shipwright has not looked at Build {name} for {} s; check that its controller runs",
        REGISTRATION_PATIENCE.as_secs()
    );
    Failure::before_start(reasons::CONTROLLER_ERROR, message)
        .with_source("BuildNotRegistered")
        .of_agent()
}

fn unreadable(name: &str, error: &ClusterError) -> Failure {
    let reason = match error {
        ClusterError::Forbidden(_) => reasons::FORBIDDEN,
        _ => reasons::API_UNAVAILABLE,
    };
    Failure::before_start(reason, format!("cannot read Build {name}: {error}")).of_agent()
}

fn refused(run: Run<'_>, manifest: &Manifest, what: &str, error: &ClusterError) -> Failure {
    let resource = &manifest.kind.resource;
    permissions::failure(
        error,
        attempted(run, what, &with_group(&resource.plural, &resource.group)),
    )
}

fn failed(run: Run<'_>, what: &str, gvk: &GroupVersionKind, error: &ClusterError) -> Failure {
    permissions::failure(
        error,
        attempted(run, what, &with_group(&gvk.kind.to_lowercase(), &gvk.group)),
    )
}

fn attempted<'a>(run: Run<'a>, what: &'a str, resource: &'a str) -> Attempted<'a> {
    Attempted {
        what,
        verbs: "get,create,patch,delete",
        resource,
        namespace: run.namespace,
        runner: run.cluster.runner_account(),
    }
}

/// A resource as kubectl takes it: the core group has no name.
fn with_group(resource: &str, group: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}
