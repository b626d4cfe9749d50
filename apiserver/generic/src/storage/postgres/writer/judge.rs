//! Which updates of a batch will succeed, decided before anything is written.
//!
//! The lock is held, so what is read here stays true until the batch writes. Each update is judged as a
//! whole against what the updates before it will have made: it writes all it names, or nothing.
//!
//! The keys of creates are taken to be free, where a table refuses one that is not: then the batch is judged
//! again, and now by what it finds.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::batch::PendingUpdate;
use crate::object::Object;
use crate::storage::error::StorageError;
use crate::storage::mutation::{ObjectWrite, Update};
use crate::storage::postgres::Resources;
use crate::storage::resource_version::ResourceVersion;
use crate::storage::table::{GroupResource, Residence};
use crate::storage::types::{Key, Stored};

/// What is known of an object that exists.
#[derive(Clone, Debug)]
struct Existing {
    uid: String,
    version: ResourceVersion,
    terminating: bool,
}

type Address = (GroupResource, Key);

/// The current state of every key that a batch touches.
#[derive(Debug, Default)]
pub(super) struct Judge {
    objects: HashMap<Address, Existing>,
}

impl Judge {
    /// Reads the keys that the updates touch: one statement per resource. Those of creates are read only when the
    /// updates were refused before.
    pub(super) async fn read(
        connection: &mut PgConnection,
        resources: &Resources,
        updates: &[PendingUpdate],
        refused: bool,
    ) -> Result<Self, StorageError> {
        let mut judge = Self::default();
        for (resource, keys) in keys(resources, updates, refused)? {
            let rows: Vec<(String, String, Uuid, i64, Option<String>)> =
                sqlx::query_as(resources.get(resource)?.current.clone())
                    .bind(Value::from(keys).to_string())
                    .fetch_all(&mut *connection)
                    .await?;
            for (namespace, name, uid, version, object) in rows {
                let version = ResourceVersion::new(version.cast_unsigned());
                let existing = Existing {
                    uid: uid.to_string(),
                    version,
                    terminating: terminating(object)?,
                };
                judge
                    .objects
                    .insert((resource, Key { namespace, name }), existing);
            }
        }
        Ok(judge)
    }

    /// Accepts an update as a whole, or says why not.
    pub(super) fn accept(&mut self, update: &Update) -> Result<(), StorageError> {
        let mut staged: HashMap<Address, Option<Existing>> = HashMap::new();
        for write in std::iter::once(&update.object).chain(&update.further.objects) {
            let address = address(write)?;
            let current = match staged.get(&address) {
                Some(staged) => staged.as_ref(),
                None => self.objects.get(&address),
            };
            let after = judge(write, &address.1, current)?;
            staged.insert(address, after);
        }
        for (address, after) in staged {
            match after {
                Some(existing) => self.objects.insert(address, existing),
                None => self.objects.remove(&address),
            };
        }
        Ok(())
    }
}

/// The state after a write, or why it fails.
fn judge(
    write: &ObjectWrite,
    key: &Key,
    current: Option<&Existing>,
) -> Result<Option<Existing>, StorageError> {
    let (old, after) = match write {
        ObjectWrite::Create { object, .. } => {
            return match current {
                Some(existing) => Err(StorageError::AlreadyExists {
                    key: key.clone(),
                    terminating: existing.terminating,
                }),
                None => Ok(Some(unread(object))),
            };
        }
        ObjectWrite::Replace { old, object, .. } => (old, Some(unread(object))),
        ObjectWrite::Delete { old, .. } => (old, None),
    };
    let existing = current.ok_or_else(|| StorageError::NotFound(key.clone()))?;
    let same_uid = old.metadata.uid.as_deref() == Some(existing.uid.as_str());
    if !same_uid || old.version != existing.version {
        return Err(StorageError::Conflict {
            key: key.clone(),
            expected: old.version,
        });
    }
    Ok(after)
}

/// An object of this batch: nobody can have read its version yet.
fn unread(object: &Object) -> Existing {
    Existing {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        version: ResourceVersion::ZERO,
        terminating: object.metadata.deletion_timestamp.is_some(),
    }
}

/// The rows to be read, by resource.
fn keys(
    resources: &Resources,
    updates: &[PendingUpdate],
    refused: bool,
) -> Result<BTreeMap<GroupResource, Vec<Value>>, StorageError> {
    let mut read: BTreeMap<GroupResource, BTreeMap<Key, bool>> = BTreeMap::new();
    let mut believed = Vec::new();
    for pending in updates {
        for write in std::iter::once(&pending.update.object).chain(&pending.update.further.objects) {
            // A write without a key is refused when it is judged.
            let Ok((resource, key)) = address(write) else {
                continue;
            };
            let create = matches!(write, ObjectWrite::Create { .. });
            // An append-only table need not have a constraint on the key.
            let refuses = resources.get(resource)?.table.residence == Residence::Cached;
            if create && refuses && !refused {
                believed.push((resource, key));
                continue;
            }
            // The object is read only where a create may meet it, to say whether it is going.
            *read.entry(resource).or_default().entry(key).or_default() |= create;
        }
    }
    for (resource, key) in believed {
        let known = read.get_mut(&resource).and_then(|keys| keys.get_mut(&key));
        known.into_iter().for_each(|with_object| *with_object = true);
    }
    let row = |(key, with_object): (Key, bool)| json!({"namespace": key.namespace, "name": key.name, "with_object": with_object});
    Ok(read
        .into_iter()
        .map(|(resource, keys)| (resource, keys.into_iter().map(row).collect()))
        .collect())
}

fn address(write: &ObjectWrite) -> Result<Address, StorageError> {
    match write {
        ObjectWrite::Create { resource, object } => Ok((*resource, key_of(object)?)),
        ObjectWrite::Replace {
            resource,
            old,
            object,
        } => {
            keeps_key(old, object)?;
            Ok((*resource, old.key.clone()))
        }
        ObjectWrite::Delete { resource, old, last } => {
            last.iter().try_for_each(|last| keeps_key(old, last))?;
            Ok((*resource, old.key.clone()))
        }
    }
}

fn keeps_key(old: &Stored, object: &Object) -> Result<(), StorageError> {
    if key_of(object)? == old.key {
        return Ok(());
    }
    Err(StorageError::Database(format!(
        "object {} cannot change its key",
        old.key
    )))
}

fn key_of(object: &Object) -> Result<Key, StorageError> {
    let name = object.metadata.name.clone().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| StorageError::Database("an object to write has no name".to_owned()))?;
    Ok(Key {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name,
    })
}

fn terminating(object: Option<String>) -> Result<bool, StorageError> {
    let Some(text) = object else { return Ok(false) };
    let object: Object =
        serde_json::from_str(&text).map_err(|error| StorageError::Corrupt(error.to_string()))?;
    Ok(object.metadata.deletion_timestamp.is_some())
}
