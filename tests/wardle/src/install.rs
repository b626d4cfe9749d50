//! The one list of what this server serves and stores.

use std::sync::Arc;

use generic_apiserver::endpoints::{ApiGroup, ApiVersion};
use generic_apiserver::registry::{RestStorage, ServedVersion, Store};
use generic_apiserver::storage::{Storage, StorageBuilder, StorageOptions};
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::bump::Bump;
use crate::fischer::{self, FischerStrategy};
use crate::flunder::{self, FlunderStrategy};
use crate::{GROUP, v1alpha1};

/// The storage of all resources.
#[must_use]
pub fn storage(options: StorageOptions) -> StorageBuilder {
    Storage::builder(options)
        .resource(flunder::table())
        .resource(fischer::table())
}

/// The group with its versions; as upstream, v1beta1 is preferred and has no fischers.
#[must_use]
pub fn api_group(storage: &Storage) -> ApiGroup {
    let flunders = Arc::new(Store::new(FlunderStrategy, storage.clone()));
    let converted = ServedVersion::<_, v1alpha1::Flunder>::of(Arc::clone(&flunders));
    let fischers = Store::new(FischerStrategy, storage.clone()).creater(Bump::new(storage.clone()));
    ApiGroup {
        name: GROUP.to_owned(),
        versions: vec![
            version("v1beta1", vec![flunders]),
            version("v1alpha1", vec![Arc::new(converted), Arc::new(fischers)]),
        ],
    }
}

fn version(name: &str, resources: Vec<Arc<dyn RestStorage>>) -> ApiVersion {
    ApiVersion {
        name: name.to_owned(),
        resources,
    }
}

/// The migrations of schema `wardle`, which come after the library's.
#[must_use]
pub fn migrator() -> Migrator {
    let up = include_str!("../migrations/0001_wardle.up.sql").into_sql_str();
    let migration = Migration::new(1, "wardle".into(), MigrationType::Simple, up, false);
    let mut migrator = Migrator::with_migrations(vec![migration]);
    migrator.dangerous_set_table_name("public.wardle_migrations");
    migrator
}
