//! Objects reduced to their metadata.
//!
//! Upstream concept: `metav1.PartialObjectMetadata` and `PartialObjectMetadataList`, which garbage
//! collection, namespace deletion and metadata informers live on.

use serde::Serialize;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::response::ListMetadata;
use crate::storage::Stored;

/// One object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PartialObjectMetadata<'o> {
    kind: &'static str,
    api_version: &'static str,
    metadata: &'o ObjectMeta,
}

impl<'o> PartialObjectMetadata<'o> {
    /// The metadata of an object; `api_version` is `meta.k8s.io` with the version asked for.
    pub(crate) const fn new(api_version: &'static str, stored: &'o Stored) -> Self {
        Self {
            kind: "PartialObjectMetadata",
            api_version,
            metadata: &stored.metadata,
        }
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PartialObjectMetadataList<'o> {
    kind: &'static str,
    api_version: &'static str,
    metadata: ListMetadata,
    items: Vec<PartialObjectMetadata<'o>>,
}

impl<'o> PartialObjectMetadataList<'o> {
    /// The metadata of every object of a page.
    pub(crate) fn new<I>(api_version: &'static str, metadata: &ListMetadata, items: I) -> Self
    where
        I: IntoIterator<Item = &'o Stored>,
    {
        Self {
            kind: "PartialObjectMetadataList",
            api_version,
            metadata: metadata.clone(),
            items: items
                .into_iter()
                .map(|stored| PartialObjectMetadata::new(api_version, stored))
                .collect(),
        }
    }
}
