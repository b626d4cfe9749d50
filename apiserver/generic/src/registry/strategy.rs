//! What is particular to a resource: defaulting, validation, transitions, deletion, columns.
//!
//! Upstream concept: `rest.RESTCreateStrategy`, `RESTUpdateStrategy`, `RESTDeleteStrategy` and
//! `TableConvertor`. The generic store calls these in the order
//! default -> prepare -> validate -> admit -> further, then hands the update to storage.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde_json::Value;

use super::context::RequestContext;
use super::error::RegistryError;
use super::field::FieldError;
use super::names::{ResourceNames, TableColumn, Verb};
use crate::object::{Kind, Object};
use crate::storage::selection::FieldRequirement;
use crate::storage::{ResourceTable, Stored, Writes};

/// The options of a delete that concern the resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// The grace period asked for, in seconds.
    pub grace_period_seconds: Option<i64>,
}

/// What a delete does with an object that no finalizer holds.
#[derive(Clone, Debug)]
pub enum Deletion<K> {
    /// It goes at once.
    Immediate,
    /// It stays, changed so by the resource (a finalizer of its own, a phase); the store sets the
    /// deletion timestamp.
    Deferred(Box<K>),
}

/// Which objects with the name of a namespace are seen in it; all by default, for good.
#[derive(Default)]
pub struct Seen {
    /// What an object must have beside that name.
    pub fields: Vec<FieldRequirement>,
    /// Ends when others are seen: a watch that began with these is expired then, and its client lists anew.
    /// `None` = never.
    pub until: Option<BoxFuture<'static, ()>>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen")
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

/// A change of an existing object, checked and ready to be written.
#[derive(Debug)]
pub struct ReadyChange<'a, K> {
    /// The version it was built from.
    pub stored: &'a Arc<Stored>,
    /// That version's state.
    pub old: &'a K,
    /// The state to be stored, or the last one if nothing holds the deleted object any more.
    pub new: &'a K,
    /// The options of the delete, if it is one.
    pub delete: Option<DeleteOptions>,
}

/// What is particular to one resource.
#[async_trait]
pub trait Strategy: Send + Sync + 'static {
    /// The type served.
    type Kind: Kind;

    /// How the resource is called.
    fn names(&self) -> ResourceNames;

    /// Its storage mapping.
    fn table(&self) -> ResourceTable;

    /// The verbs served.
    fn verbs(&self) -> &'static [Verb] {
        &Verb::ALL
    }

    /// Whether `/status` is served.
    fn has_status(&self) -> bool {
        true
    }

    /// Fills in defaults; idempotent.
    fn default(&self, _object: &mut Self::Kind) {}

    /// Clears what the client may not set and sets what the server owns. Spec generation, uid and
    /// creation time are the store's.
    fn prepare_for_create(&self, ctx: &RequestContext, object: &mut Self::Kind);

    /// The step that may read: rules that need more than the object itself, which is valid by then. What
    /// this changes is not validated again.
    ///
    /// # Errors
    /// What the rules say.
    async fn admit_create(
        &self,
        _ctx: &RequestContext,
        _object: &mut Self::Kind,
    ) -> Result<(), RegistryError> {
        Ok(())
    }

    /// The invalid fields of a new object.
    fn validate(&self, object: &Self::Kind) -> Vec<FieldError>;

    /// Keeps from `old` what the main resource does not write (status), and reacts to what changed.
    fn prepare_for_update(&self, ctx: &RequestContext, new: &mut Self::Kind, old: &Self::Kind);

    /// Keeps from `old` all but the status, and of the status what the client may not write.
    fn prepare_for_status_update(&self, _ctx: &RequestContext, _new: &mut Self::Kind, _old: &Self::Kind) {}

    /// The caller's right to write this status beyond RBAC.
    ///
    /// # Errors
    /// What the rules say.
    fn authorize_status_update(&self, _ctx: &RequestContext, _old: &Self::Kind) -> Result<(), RegistryError> {
        Ok(())
    }

    /// The invalid fields of a changed object.
    fn validate_update(&self, new: &Self::Kind, old: &Self::Kind) -> Vec<FieldError>;

    /// What a delete does. Called also for an object that is being deleted already.
    ///
    /// # Errors
    /// What the rules say.
    fn delete(
        &self,
        _ctx: &RequestContext,
        _current: &Self::Kind,
        _options: &DeleteOptions,
    ) -> Result<Deletion<Self::Kind>, RegistryError> {
        Ok(Deletion::Immediate)
    }

    /// What commits together with the change: the resource's transition. `old` is absent on create,
    /// `new` on delete; an update that takes the last finalizer of a deleted object off gives both.
    ///
    /// # Errors
    /// What the rules say.
    fn further(
        &self,
        _ctx: &RequestContext,
        _old: Option<&Self::Kind>,
        _new: Option<&Self::Kind>,
    ) -> Result<Writes, RegistryError> {
        Ok(Writes::default())
    }

    /// Writes a change by a set mutation of the resource's own, and returns the state written: for changes that are
    /// decided under the lock, by the database's clock and by rows beside the object. `None` = storage writes the change
    /// as it stands. Not called in a dry run, nor for a delete that the resource does not defer.
    ///
    /// # Errors
    /// A conflict of storage when the object has changed meanwhile: the change is then built anew.
    async fn write_change(
        &self,
        _ctx: &RequestContext,
        _change: &ReadyChange<'_, Self::Kind>,
    ) -> Result<Option<Object>, RegistryError> {
        Ok(None)
    }

    /// Which objects with the name of a namespace are seen in it: for objects that outlive their namespace. Asked by
    /// every get, list and watch of one namespace, not by those of all.
    ///
    /// # Errors
    /// When that cannot be found out.
    async fn seen_in(&self, _namespace: &str) -> Result<Seen, RegistryError> {
        Ok(Seen::default())
    }

    /// Turns a refusal of a named constraint into an error of the API.
    fn constraint_error(&self, constraint: &str, _object: &Self::Kind) -> RegistryError {
        RegistryError::Internal(format!("constraint {constraint} refused the write"))
    }

    /// Warnings about a new object.
    fn warnings_on_create(&self, _object: &Self::Kind) -> Vec<String> {
        Vec::new()
    }

    /// The printer columns after Name and before Age; the store adds both.
    fn columns(&self) -> &'static [TableColumn];

    /// The cells of `columns`.
    fn cells(&self, object: &Self::Kind) -> Vec<Value>;
}
