//! The options of a delete: from the body when there is one, else from the query.
//!
//! Upstream concept: `metav1.DeleteOptions` and its validation.

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};

use super::options::{Query, dry_run, invalid, not_supported};
use super::{StatusError, decode};
use crate::registry::{DeleteRequest, FieldError, PropagationPolicy};

/// A delete as the registry understands it, and what only HTTP knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeleteCall {
    /// For the registry.
    pub(crate) request: DeleteRequest,
    /// Nothing is deleted.
    pub(crate) dry_run: bool,
    /// `orphanDependents=false` was given: an object that stays is answered with 202.
    pub(crate) accepts_later: bool,
}

impl DeleteCall {
    /// Reads body or query; `api_version` is that of the resource, which a body may carry.
    pub(crate) async fn parse(
        query: Query<'_>,
        headers: &http::HeaderMap,
        body: &Bytes,
        api_version: &str,
    ) -> Result<Self, StatusError> {
        let options = if body.is_empty() {
            from_query(query)?
        } else {
            from_body(headers, body, api_version).await?
        };
        let mut errors = Vec::new();
        let dry_run = dry_run(options.dry_run.as_deref().unwrap_or_default(), &mut errors);
        let propagation_policy = propagation_policy(&options, &mut errors);
        invalid("DeleteOptions", &errors)?;
        let preconditions = options.preconditions.unwrap_or_default();
        Ok(Self {
            request: DeleteRequest {
                grace_period_seconds: options.grace_period_seconds,
                propagation_policy,
                uid: preconditions.uid,
                resource_version: preconditions.resource_version,
            },
            dry_run,
            accepts_later: options.orphan_dependents == Some(false),
        })
    }
}

fn from_query(query: Query<'_>) -> Result<DeleteOptions, StatusError> {
    let policy = query.text("propagationPolicy").into_owned();
    Ok(DeleteOptions {
        dry_run: Some(query.texts("dryRun")),
        grace_period_seconds: query.integer("gracePeriodSeconds")?,
        orphan_dependents: query.boolean("orphanDependents"),
        propagation_policy: (!policy.is_empty()).then_some(policy),
        preconditions: None::<Preconditions>,
        ..DeleteOptions::default()
    })
}

/// Clients send the kind in the core version, the meta group, or the group of the resource.
async fn from_body(
    headers: &http::HeaderMap,
    body: &Bytes,
    api_version: &str,
) -> Result<DeleteOptions, StatusError> {
    let mut value = decode::document(headers, body).await?.value;
    if let Some(fields) = value.as_object_mut() {
        // k8s-openapi's type does not read its own kind and version.
        let kind = decode::take_text(fields, "kind")?;
        let version = decode::take_text(fields, "apiVersion")?;
        if !matches!(kind.as_str(), "" | "DeleteOptions") {
            return Err(StatusError::bad_request(format!(
                "the body of a delete must be DeleteOptions, not {kind:?}"
            )));
        }
        if !["", "v1", "meta.k8s.io/v1", api_version].contains(&version.as_str()) {
            return Err(StatusError::bad_request(format!(
                "DeleteOptions are known in the versions v1, meta.k8s.io/v1 and {api_version}, not in {version:?}"
            )));
        }
    }
    serde_json::from_value(value).map_err(|error| {
        StatusError::bad_request(format!("the body cannot be read as DeleteOptions: {error}"))
    })
}

fn propagation_policy(options: &DeleteOptions, errors: &mut Vec<FieldError>) -> Option<PropagationPolicy> {
    if options.orphan_dependents.is_some() && options.propagation_policy.is_some() {
        let why = "orphanDependents and propagationPolicy may not both be set";
        errors.push(FieldError::invalid("propagationPolicy", show(options), why));
    }
    match (options.orphan_dependents, options.propagation_policy.as_deref()) {
        (Some(true), _) | (_, Some("Orphan")) => Some(PropagationPolicy::Orphan),
        (Some(false), _) | (_, Some("Background")) => Some(PropagationPolicy::Background),
        (_, Some("Foreground")) => Some(PropagationPolicy::Foreground),
        (_, None) => None,
        (_, Some(other)) => {
            errors.push(not_supported(
                "propagationPolicy",
                other,
                &["Background", "Foreground", "Orphan"],
            ));
            None
        }
    }
}

fn show(options: &DeleteOptions) -> String {
    format!("{:?}", options.propagation_policy.as_deref().unwrap_or_default())
}
