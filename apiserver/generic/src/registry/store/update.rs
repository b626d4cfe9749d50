//! Update and patch: from the present state to the next, or away when the last finalizer goes.

use std::sync::Arc;

use k8s_openapi::Resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Store, object_of};
use crate::object::Object;
use crate::registry::context::RequestContext;
use crate::registry::error::RegistryError;
use crate::registry::field::FieldError;
use crate::registry::metadata;
use crate::registry::rest::{ObjectChange, Part};
use crate::registry::strategy::{ReadyChange, Strategy};
use crate::storage::{Freshness, GroupResource, Key, ObjectWrite, StorageError, Stored, Update};

/// How often a change is built anew under contention before the caller is told; far above what a fair
/// queue of writers needs.
pub(super) const CONFLICT_RETRIES: usize = 64;

impl<S: Strategy> Store<S> {
    pub(super) async fn update_object(
        &self,
        ctx: &RequestContext,
        key: &Key,
        part: Part,
        change: &dyn ObjectChange,
    ) -> Result<Object, RegistryError> {
        for _ in 1..CONFLICT_RETRIES {
            match self.update_once(ctx, key, part, change).await {
                Err(RegistryError::Storage(StorageError::Conflict { .. })) => {}
                result => return result,
            }
        }
        self.update_once(ctx, key, part, change).await
    }

    async fn update_once(
        &self,
        ctx: &RequestContext,
        key: &Key,
        part: Part,
        change: &dyn ObjectChange,
    ) -> Result<Object, RegistryError> {
        let stored = self.storage.get(self.resource, key, Freshness::Latest).await?;
        let current = object_of(&stored)?;
        let mut wanted = change.apply(&current)?;
        check_versions(&current, &wanted, S::Kind::KIND, self.resource)?;
        if part == Part::Main {
            Self::invalid(
                &current.metadata,
                metadata::validate_immutable(&wanted.metadata, &current.metadata),
            )?;
            Self::merge_owners(ctx, &mut wanted.metadata);
        }
        keep_server_fields(&mut wanted.metadata, &current.metadata);
        let (old, mut new) = (Self::typed(&current)?, Self::typed(&wanted)?);
        self.prepare(ctx, part, &mut new, &old)?;
        let next = self.next_state(&current, &new)?;
        self.check(part, &next, &new, &current, &old)?;
        if next == current {
            return Ok(current);
        }
        self.check_growth(part, &next, &current)?;
        self.replace(ctx, stored, &old, next).await
    }

    fn prepare(
        &self,
        ctx: &RequestContext,
        part: Part,
        new: &mut S::Kind,
        old: &S::Kind,
    ) -> Result<(), RegistryError> {
        match part {
            Part::Main => {
                self.strategy.default(new);
                self.strategy.prepare_for_update(ctx, new, old);
            }
            Part::Status => {
                self.strategy.authorize_status_update(ctx, old)?;
                self.strategy.prepare_for_status_update(ctx, new, old);
            }
        }
        Ok(())
    }

    /// The state to be stored: the generation grows with every change outside metadata and status.
    fn next_state(&self, current: &Object, new: &S::Kind) -> Result<Object, RegistryError> {
        let mut next = Self::untyped(new)?;
        next.metadata
            .resource_version
            .clone_from(&current.metadata.resource_version);
        if specification(&next) != specification(current) {
            next.metadata.generation = Some(current.metadata.generation.unwrap_or(0) + 1);
        }
        Ok(next)
    }

    fn check(
        &self,
        part: Part,
        next: &Object,
        new: &S::Kind,
        current: &Object,
        old: &S::Kind,
    ) -> Result<(), RegistryError> {
        let mut errors = metadata::validate(&next.metadata, self.info.names.scope);
        errors.extend(metadata::validate_update(&next.metadata, &current.metadata));
        if part == Part::Main {
            metadata::extend(&mut errors, self.strategy.validate_update(new, old));
        }
        Self::invalid(&next.metadata, errors)
    }

    async fn replace(
        &self,
        ctx: &RequestContext,
        stored: Arc<Stored>,
        old: &S::Kind,
        next: Object,
    ) -> Result<Object, RegistryError> {
        let new = Self::typed(&next)?;
        let change = ReadyChange {
            stored: &stored,
            old,
            new: &new,
            delete: None,
        };
        if let Some(written) = self.write_change(ctx, &change).await? {
            return Ok(written);
        }
        let further = self.strategy.further(ctx, Some(old), Some(&new))?;
        if ctx.dry_run {
            return Ok(next);
        }
        if is_released(&next.metadata) {
            let write = ObjectWrite::Delete {
                resource: self.resource,
                old: stored,
                last: None,
            };
            self.storage
                .update(Update {
                    object: write,
                    further,
                })
                .await?;
            return Ok(next);
        }
        let write = ObjectWrite::Replace {
            resource: self.resource,
            old: stored,
            object: next,
        };
        let stored = self
            .storage
            .update(Update {
                object: write,
                further,
            })
            .await;
        object_of(&*stored.map_err(|e| self.refused(e, &new))?)
    }
}

impl<S: Strategy> Store<S> {
    /// Lets the resource write a change itself, if it does so.
    pub(super) async fn write_change(
        &self,
        ctx: &RequestContext,
        change: &ReadyChange<'_, S::Kind>,
    ) -> Result<Option<Object>, RegistryError> {
        if ctx.dry_run {
            return Ok(None);
        }
        self.strategy.write_change(ctx, change).await
    }
}

/// Whether nothing holds a deleted object any more.
pub(super) fn is_released(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some() && meta.finalizers.as_ref().is_none_or(Vec::is_empty)
}

/// All of an object that is neither metadata nor status.
fn specification(object: &Object) -> Vec<(&String, &serde_json::Value)> {
    object.body.iter().filter(|(name, _)| *name != "status").collect()
}

/// The optimistic lock: the version and the uid that the change names are the present ones.
fn check_versions(
    current: &Object,
    wanted: &Object,
    kind: &str,
    resource: GroupResource,
) -> Result<(), RegistryError> {
    let name = current.metadata.name.clone().unwrap_or_default();
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(uid) = given(&wanted.metadata.uid)
        && current.metadata.uid.as_ref() != Some(&uid)
    {
        let present = current.metadata.uid.as_deref().unwrap_or_default();
        let message = format!(
            "Operation cannot be fulfilled on {resource} {name:?}: Precondition failed: UID in precondition: {uid}, UID in object meta: {present}"
        );
        return Err(RegistryError::Conflict {
            message,
            causes: Vec::new(),
        });
    }
    let Some(version) = given(&wanted.metadata.resource_version) else {
        let error = FieldError::invalid(
            "metadata.resourceVersion",
            "\"\"",
            "must be specified for an update",
        );
        return Err(RegistryError::Invalid {
            kind: kind.to_owned(),
            name,
            errors: vec![error],
        });
    };
    if current.metadata.resource_version.as_ref() != Some(&version) {
        let message = format!(
            "Operation cannot be fulfilled on {resource} {name:?}: the object has been modified; please apply your changes to the latest version and try again"
        );
        return Err(RegistryError::Conflict {
            message,
            causes: Vec::new(),
        });
    }
    Ok(())
}

/// What no client changes. Nobody keeps `managedFields` here, so that nobody may say to be in them.
fn keep_server_fields(meta: &mut ObjectMeta, current: &ObjectMeta) {
    meta.name.clone_from(&current.name);
    meta.namespace.clone_from(&current.namespace);
    meta.uid.clone_from(&current.uid);
    meta.creation_timestamp.clone_from(&current.creation_timestamp);
    meta.deletion_timestamp.clone_from(&current.deletion_timestamp);
    meta.deletion_grace_period_seconds = current.deletion_grace_period_seconds;
    meta.generation = current.generation;
    meta.generate_name.clone_from(&current.generate_name);
    meta.self_link.clone_from(&current.self_link);
    meta.managed_fields.clone_from(&current.managed_fields);
}
