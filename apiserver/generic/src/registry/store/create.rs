//! Create: what the server sets, defaults, admission, validation, and the write.

use jiff::Timestamp;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use rand::seq::IndexedRandom;
use uuid::Uuid;

use super::Store;
use crate::object::{Object, whole_seconds};
use crate::registry::context::RequestContext;
use crate::registry::error::RegistryError;
use crate::registry::metadata;
use crate::registry::names::Scope;
use crate::registry::strategy::Strategy;
use crate::storage::{Freshness, Key, ObjectWrite, StorageError, Update};

/// How often a generated name is drawn anew when it is taken; upstream's number.
const GENERATED_NAME_ATTEMPTS: usize = 8;

/// Upstream's alphabet of generated names: no vowels, so that no words appear.
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A generated name is at most this long before its five random characters.
const GENERATED_BASE_MAX: usize = 58;

impl<S: Strategy> Store<S> {
    pub(super) async fn create_object(
        &self,
        ctx: &RequestContext,
        namespace: &str,
        mut object: Object,
    ) -> Result<Object, RegistryError> {
        self.set_server_fields(namespace, &mut object)?;
        Self::merge_owners(ctx, &mut object.metadata);
        let generated = needs_name(&object);
        for _ in 1..GENERATED_NAME_ATTEMPTS {
            match self.create_named(ctx, named(&object)).await {
                Err(RegistryError::Storage(StorageError::AlreadyExists { .. })) if generated => {}
                result => return result,
            }
        }
        self.create_named(ctx, named(&object)).await
    }

    async fn create_named(&self, ctx: &RequestContext, object: Object) -> Result<Object, RegistryError> {
        let mut typed = Self::typed(&object)?;
        self.strategy.default(&mut typed);
        self.strategy.prepare_for_create(ctx, &mut typed);
        let mut errors = metadata::validate(typed.metadata(), self.info.names.scope);
        metadata::extend(&mut errors, self.strategy.validate(&typed));
        Self::invalid(typed.metadata(), errors)?;
        self.strategy.admit_create(ctx, &mut typed).await?;
        self.strategy
            .warnings_on_create(&typed)
            .into_iter()
            .for_each(|warning| ctx.warn(warning));
        self.insert(ctx, &typed).await
    }

    async fn insert(&self, ctx: &RequestContext, typed: &S::Kind) -> Result<Object, RegistryError> {
        let object = Self::untyped(typed)?;
        Self::check_size(&object)?;
        let further = self.strategy.further(ctx, None, Some(typed))?;
        let (object, warnings) = if ctx.dry_run {
            self.dry_insert(object).await?
        } else {
            let update = Update {
                object: ObjectWrite::Create {
                    resource: self.resource,
                    object,
                },
                further,
            };
            let created = self.storage.create_object(update).await;
            let (stored, warnings) = created.map_err(|error| self.refused(error, typed))?;
            (super::object_of(&stored)?, warnings)
        };
        warnings.into_iter().for_each(|warning| ctx.warn(warning));
        Ok(object)
    }

    /// A dry run finds out whether the name is taken, and what the client would be told, and stores nothing; its
    /// time is not the storage's.
    async fn dry_insert(&self, mut object: Object) -> Result<(Object, Vec<String>), RegistryError> {
        let warnings = self.storage.foretell(self.resource, &object).await?;
        object.metadata.creation_timestamp = Some(Time(whole_seconds(Timestamp::now())));
        let key = key_of(&object);
        match self.storage.get(self.resource, &key, Freshness::Latest).await {
            Err(StorageError::NotFound(_)) => Ok((object, warnings)),
            Err(other) => Err(other.into()),
            Ok(present) => {
                let terminating = present.metadata.deletion_timestamp.is_some();
                Err(StorageError::AlreadyExists { key, terminating }.into())
            }
        }
    }

    /// A refused constraint is the strategy's to explain.
    pub(super) fn refused(&self, error: StorageError, typed: &S::Kind) -> RegistryError {
        match error {
            StorageError::Constraint(constraint) => self.strategy.constraint_error(&constraint, typed),
            other => other.into(),
        }
    }

    fn set_server_fields(&self, namespace: &str, object: &mut Object) -> Result<(), RegistryError> {
        let meta = &mut object.metadata;
        if meta
            .resource_version
            .as_deref()
            .is_some_and(|version| !version.is_empty())
        {
            return Err(RegistryError::BadRequest(
                "resourceVersion should not be set on objects to be created".into(),
            ));
        }
        meta.namespace = match self.info.names.scope {
            Scope::Namespaced => Some(namespace.to_owned()),
            Scope::Cluster => None,
        };
        meta.uid = Some(Uuid::new_v4().to_string());
        // The storage's clock sets it, with the write.
        meta.creation_timestamp = None;
        meta.generation = Some(1);
        meta.resource_version = None;
        meta.deletion_timestamp = None;
        meta.deletion_grace_period_seconds = None;
        meta.self_link = None;
        // Field ownership is not tracked: what a client copied from another object would only mislead.
        meta.managed_fields = None;
        Ok(())
    }

    /// Owners given twice count once; the client is told.
    pub(super) fn merge_owners(ctx: &RequestContext, meta: &mut ObjectMeta) {
        let repeated = metadata::merge_owners(meta);
        if !repeated.is_empty() {
            ctx.warn(format!(
                "metadata.ownerReferences names owners more than once, they count once: {}",
                repeated.join(", ")
            ));
        }
    }
}

pub(super) fn key_of(object: &Object) -> Key {
    Key {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

fn needs_name(object: &Object) -> bool {
    let empty = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
    empty(&object.metadata.name) && !empty(&object.metadata.generate_name)
}

/// The object with a name: its own, or one drawn from `generateName`.
fn named(object: &Object) -> Object {
    let mut object = object.clone();
    if needs_name(&object) {
        let base = object.metadata.generate_name.clone().unwrap_or_default();
        object.metadata.name = Some(generate_name(&base));
    }
    object
}

fn generate_name(base: &str) -> String {
    let mut name: String = base.chars().take(GENERATED_BASE_MAX).collect();
    let mut random = rand::rng();
    name.extend(
        (0..5)
            .filter_map(|_| NAME_ALPHABET.choose(&mut random))
            .map(|&byte| char::from(byte)),
    );
    name
}

#[cfg(test)]
mod tests {
    use super::generate_name;

    #[test]
    fn generated_name_keeps_its_base_up_to_the_limit() {
        assert!(generate_name("build-").starts_with("build-"));
        assert_eq!(generate_name("build-").len(), 11);
        assert_eq!(generate_name(&"a".repeat(100)).len(), 63);
    }
}
