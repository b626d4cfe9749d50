//! Delete: preconditions, finalizers, and what the strategy makes of it.

use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::update::{CONFLICT_RETRIES, is_released};
use super::{Store, object_of};
use crate::object::{Object, whole_seconds};
use crate::registry::context::RequestContext;
use crate::registry::error::RegistryError;
use crate::registry::rest::{DeleteRequest, Deleted, PropagationPolicy};
use crate::registry::strategy::{DeleteOptions, Deletion, ReadyChange, Strategy};
use crate::storage::{
    Freshness, GroupResource, Key, ListOptions, ObjectWrite, StorageError, Stored, Update, Writes,
};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// How many objects of a collection are read at a time.
const COLLECTION_PAGE: usize = 500;

/// How many of them are deleted at a time: they share transactions, and leave room for other writes.
const COLLECTION_DELETES: usize = 16;

impl<S: Strategy> Store<S> {
    pub(super) async fn delete_object(
        &self,
        ctx: &RequestContext,
        key: &Key,
        request: &DeleteRequest,
    ) -> Result<Deleted, RegistryError> {
        for _ in 1..CONFLICT_RETRIES {
            match self.delete_once(ctx, key, request).await {
                Err(RegistryError::Storage(StorageError::Conflict { .. })) => {}
                result => return result,
            }
        }
        self.delete_once(ctx, key, request).await
    }

    async fn delete_once(
        &self,
        ctx: &RequestContext,
        key: &Key,
        request: &DeleteRequest,
    ) -> Result<Deleted, RegistryError> {
        let stored = self.storage.get(self.resource, key, Freshness::Latest).await?;
        let current = object_of(&stored)?;
        check_preconditions(&current.metadata, request, self.resource)?;
        let old = Self::typed(&current)?;
        let options = DeleteOptions {
            grace_period_seconds: request.grace_period_seconds,
        };
        let (mut next, new) = match self.strategy.delete(ctx, &old, &options)? {
            Deletion::Immediate => (current.clone(), None),
            Deletion::Deferred(new) => (Self::untyped(&new)?, Some(new)),
        };
        mark(&mut next.metadata, &current.metadata, request.propagation_policy);
        if new.is_some() {
            let change = ReadyChange {
                stored: &stored,
                old: &old,
                new: &Self::typed(&next)?,
                delete: Some(options),
            };
            if let Some(written) = self.write_change(ctx, &change).await? {
                return Ok(deleted(written));
            }
        }
        let further = match &new {
            Some(new) => self.strategy.further(ctx, Some(&old), Some(new))?,
            None if is_released(&next.metadata) => self.strategy.further(ctx, Some(&old), None)?,
            None => Writes::default(),
        };
        if is_released(&next.metadata) {
            return self.remove(ctx, stored, next, further).await;
        }
        self.mark_deleted(ctx, stored, &current, next, further).await
    }

    async fn remove(
        &self,
        ctx: &RequestContext,
        old: Arc<Stored>,
        last: Object,
        further: Writes,
    ) -> Result<Deleted, RegistryError> {
        if !ctx.dry_run {
            let object = ObjectWrite::Delete {
                resource: self.resource,
                old,
                last: None,
            };
            self.storage.update(Update { object, further }).await?;
        }
        Ok(Deleted::Gone(last))
    }

    async fn mark_deleted(
        &self,
        ctx: &RequestContext,
        old: Arc<Stored>,
        current: &Object,
        next: Object,
        further: Writes,
    ) -> Result<Deleted, RegistryError> {
        // Deleting again while finalizers hold the object changes nothing.
        if ctx.dry_run || next == *current {
            return Ok(Deleted::Marked(next));
        }
        let object = ObjectWrite::Replace {
            resource: self.resource,
            old,
            object: next,
        };
        let stored = self.storage.update(Update { object, further }).await?;
        Ok(Deleted::Marked(object_of(&stored)?))
    }

    pub(super) async fn delete_selected(
        &self,
        ctx: &RequestContext,
        options: &ListOptions,
        request: &DeleteRequest,
    ) -> Result<Vec<Object>, RegistryError> {
        let mut options = options.clone();
        let mut wanted = if options.limit == 0 {
            usize::MAX
        } else {
            options.limit
        };
        let mut deleted = Vec::new();
        while wanted > 0 {
            options.limit = wanted.min(COLLECTION_PAGE);
            let page = self.storage.list(self.resource, &options).await?;
            for together in page.items.chunks(COLLECTION_DELETES) {
                let deletes = together
                    .iter()
                    .map(|stored| self.delete_listed(ctx, stored, request));
                for result in join_all(deletes).await {
                    deleted.extend(result?);
                }
            }
            wanted = wanted.saturating_sub(page.items.len());
            options.continue_token = page.continue_token;
            if options.continue_token.is_none() {
                break;
            }
        }
        Ok(deleted)
    }

    /// Deletes one object of a list; one that has gone meanwhile is no error.
    async fn delete_listed(
        &self,
        ctx: &RequestContext,
        stored: &Stored,
        request: &DeleteRequest,
    ) -> Result<Option<Object>, RegistryError> {
        match self.delete_object(ctx, &stored.key, request).await {
            Ok(Deleted::Gone(object) | Deleted::Marked(object)) => Ok(Some(object)),
            Err(RegistryError::Storage(StorageError::NotFound(_))) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn deleted(object: Object) -> Deleted {
    if is_released(&object.metadata) {
        Deleted::Gone(object)
    } else {
        Deleted::Marked(object)
    }
}

fn check_preconditions(
    meta: &ObjectMeta,
    request: &DeleteRequest,
    resource: GroupResource,
) -> Result<(), RegistryError> {
    let pairs = [
        ("UID", &request.uid, &meta.uid),
        (
            "ResourceVersion",
            &request.resource_version,
            &meta.resource_version,
        ),
    ];
    for (what, wanted, present) in pairs {
        if wanted.is_some() && wanted != present {
            let name = meta.name.as_deref().unwrap_or_default();
            let show = |text: &Option<String>| text.clone().unwrap_or_default();
            let message = format!(
                "Operation cannot be fulfilled on {resource} {name:?}: Precondition failed: {what} in precondition: {}, {what} in object meta: {}",
                show(wanted),
                show(present)
            );
            return Err(RegistryError::Conflict {
                message,
                causes: Vec::new(),
            });
        }
    }
    Ok(())
}

/// Sets the finalizers that the policy asks for and, once, the deletion's time and generation.
fn mark(meta: &mut ObjectMeta, current: &ObjectMeta, policy: Option<PropagationPolicy>) {
    meta.resource_version.clone_from(&current.resource_version);
    if let Some(policy) = policy {
        let mut finalizers = meta.finalizers.take().unwrap_or_default();
        finalizers.retain(|finalizer| finalizer != FOREGROUND && finalizer != ORPHAN);
        match policy {
            PropagationPolicy::Foreground => finalizers.push(FOREGROUND.to_owned()),
            PropagationPolicy::Orphan => finalizers.push(ORPHAN.to_owned()),
            PropagationPolicy::Background => {}
        }
        meta.finalizers = Some(finalizers).filter(|finalizers| !finalizers.is_empty());
    }
    if current.deletion_timestamp.is_none() {
        meta.deletion_timestamp = Some(Time(whole_seconds(Timestamp::now())));
        meta.deletion_grace_period_seconds = Some(0);
        meta.generation = Some(current.generation.unwrap_or(0) + 1);
    }
}
