//! What is known of versions outside the database.
//!
//! A database restored from a copy of its files looks like itself: the same system, the same timeline,
//! and no trace of what was written after the copy. Only what is kept elsewhere can tell.

use std::error::Error;

use async_trait::async_trait;

use super::resource_version::ResourceVersion;

/// A number kept outside the database: a version that is known to have been drawn.
///
/// It is read at each new connection for writing or for reading the change log. Until it has been read once
/// nothing is served or written; a failure later on is logged. It is raised now and then, so that it may be somewhat lower than the newest version; a
/// failure is logged and tried again, and stops nothing.
#[async_trait]
pub trait HighWaterMark: Send + Sync + 'static {
    /// The highest version recorded; `None` when there is no record.
    ///
    /// # Errors
    /// When the record cannot be read now.
    async fn read(&self) -> Result<Option<ResourceVersion>, Box<dyn Error + Send + Sync>>;

    /// Records a version, unless a higher one is recorded: replicas share the record.
    ///
    /// # Errors
    /// When the record cannot be written now.
    async fn raise(&self, version: ResourceVersion) -> Result<(), Box<dyn Error + Send + Sync>>;
}
