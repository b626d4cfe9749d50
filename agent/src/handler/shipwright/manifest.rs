//! The BuildRun of an order: a pure function of the order, the Build and the configuration.

use brokkr_apis::work::defaults::TIMEOUT_SECONDS;
use kube::api::{ApiResource, DynamicObject};
use serde_json::{Value, json};

use crate::handler::{Run, child_labels};

/// The BuildRun to create. `build` is the Build as it is in the cluster, or null.
pub(super) fn build_run(
    run: Run<'_>,
    resource: &ApiResource,
    build_name: &str,
    build: &Value,
) -> DynamicObject {
    let mut object = DynamicObject::new(&run.child_name(), resource).within(run.namespace);
    object.metadata.labels = Some(child_labels(run));
    object.data = json!({"spec": spec(run, build_name, build)});
    object
}

fn spec(run: Run<'_>, build_name: &str, build: &Value) -> Value {
    let mut spec = json!({"build": {"name": build_name}});
    if let Some(account) = service_account(run) {
        spec["serviceAccount"] = account.into();
    }
    if let Some(timeout) = timeout(run, build) {
        spec["timeout"] = timeout.into();
    }
    let config = &run.config.build;
    for (field, ours) in [
        ("ttlAfterSucceeded", &config.retention_succeeded),
        ("ttlAfterFailed", &config.retention_failed),
    ] {
        // What the Build says holds for its runs, unless the run says otherwise.
        if build.pointer(&format!("/spec/retention/{field}")).is_none() {
            spec["retention"][field] = ours.as_str().into();
        }
    }
    spec
}

/// The order's account, then the configured one; None leaves it to Shipwright.
fn service_account(run: Run<'_>) -> Option<&str> {
    let configured = run.config.build.service_account.as_str();
    let account = run
        .claim
        .order
        .spec
        .service_account
        .as_deref()
        .unwrap_or(configured);
    (!account.is_empty()).then_some(account)
}

/// How long the run may take: what the order says, then the Build (by saying nothing), then the configuration.
///
/// The hub writes its default into orders that say nothing, which cannot be told from a user's own 15 minutes. It
/// counts as nothing said, so that a Build's own timeout is honoured.
fn timeout<'a>(run: Run<'a>, build: &Value) -> Option<&'a str> {
    let hub_default = std::time::Duration::from_secs(TIMEOUT_SECONDS);
    let of_order = run.claim.order.spec.timeout.as_ref();
    match of_order.filter(|timeout| timeout.parse() != Ok(hub_default)) {
        Some(timeout) => Some(timeout.as_str()),
        None if build.pointer("/spec/timeout").is_some() => None,
        None => Some(run.config.build.default_timeout.as_str()),
    }
}
