//! Reading and watching resources that are cached: everything comes from the watch cache, which is
//! first brought up to the version asked.

use std::collections::VecDeque;
use std::sync::Arc;

use super::cacher::{Cacher, Filter, Objects, count, page};
use super::continue_token::{ContinueToken, Position};
use super::error::StorageError;
use super::resource_version::ResourceVersion;
use super::store::Storage;
use super::table::{GroupResource, Residence};
use super::types::{Freshness, Key, ListOptions, ListPage, ListVersion, Stored, WatchOptions, WatchStart};
use super::watch_stream::{History, WatchBeginning, WatchStream};

impl Storage {
    /// One object.
    ///
    /// # Errors
    /// `NotFound`; `TooLarge` when the version asked is not reached in time; `Unreachable`.
    pub async fn get(
        &self,
        resource: GroupResource,
        key: &Key,
        freshness: Freshness,
    ) -> Result<Arc<Stored>, StorageError> {
        let cacher = self.cacher(resource)?;
        if cacher.resource.table.residence == Residence::DatabaseOnly {
            return self.get_from_table(&cacher.resource, key, freshness).await;
        }
        self.fresh(freshness).await?;
        let (_, objects) = cacher.newest();
        objects
            .get(key)
            .cloned()
            .ok_or_else(|| StorageError::NotFound(key.clone()))
    }

    /// One page of the objects of a resource.
    ///
    /// # Errors
    /// `Expired` when the version asked, or the token's, is no longer kept; `TooLarge` when it is not
    /// reached in time; `InvalidContinue`; `Unreachable`.
    pub async fn list(
        &self,
        resource: GroupResource,
        options: &ListOptions,
    ) -> Result<ListPage, StorageError> {
        let cacher = self.cacher(resource)?;
        if cacher.resource.table.residence == Residence::DatabaseOnly {
            return self.list_from_table(cacher, options).await;
        }
        let namespace = options.namespace.as_deref();
        let Some(text) = &options.continue_token else {
            let (version, objects) = match options.version {
                ListVersion::Fresh(freshness) => {
                    self.fresh(freshness).await?;
                    cacher.newest()
                }
                ListVersion::Exact(version) => (version, self.exactly(cacher, version).await?),
            };
            return Ok(list_page(cacher, options, version, &objects, None));
        };
        let token = ContinueToken::decode(text, &cacher.resource.name, namespace)?;
        let after = token.after()?;
        let (version, objects) = match token.version() {
            Some(version) => {
                let objects = self
                    .exactly(cacher, version)
                    .await
                    .map_err(|error| inconsistent(error, &token))?;
                (version, objects)
            }
            None => {
                self.fresh(Freshness::Latest).await?;
                cacher.newest()
            }
        };
        Ok(list_page(
            cacher,
            options,
            version,
            &objects,
            Some((after, token.remaining)),
        ))
    }

    async fn exactly(&self, cacher: &Cacher, version: ResourceVersion) -> Result<Objects, StorageError> {
        self.fresh(Freshness::NotOlderThan(version)).await?;
        cacher.at(version)
    }

    /// The changes of a resource.
    ///
    /// # Errors
    /// `Expired` when the change log in memory does not reach back to the start asked; `TooLarge` when
    /// initial events of a version are asked that is not reached in time; `Unreachable`.
    pub async fn watch(
        &self,
        resource: GroupResource,
        options: WatchOptions,
    ) -> Result<WatchStream, StorageError> {
        let cacher = self.cacher(resource)?;
        let filter = Arc::new(Filter::new(options.namespace.as_deref(), &options.selection));
        let beginning = match cacher.resource.table.residence {
            Residence::Cached => self.watch_cached(cacher, &filter, options.start).await?,
            Residence::DatabaseOnly => self.watch_table(cacher, &filter, &options).await?,
        };
        let interval = options.bookmarks.then_some(self.inner.options.bookmark_interval);
        let progress = self.inner.progress.clone();
        Ok(WatchStream::new(
            Arc::clone(&cacher.resource),
            filter,
            beginning,
            progress,
            interval,
        ))
    }

    async fn watch_cached(
        &self,
        cacher: &Arc<Cacher>,
        filter: &Arc<Filter>,
        start: WatchStart,
    ) -> Result<WatchBeginning, StorageError> {
        match start {
            WatchStart::After(version) => {
                self.wait_until_filled().await?;
                let (missed, live) = cacher.watch_after(version, filter)?;
                let history = History::Events(VecDeque::from(missed));
                Ok(WatchBeginning {
                    history,
                    live: Some(live),
                    after: version,
                    initial_events: false,
                })
            }
            WatchStart::InitialEvents(freshness) => {
                self.fresh(freshness).await?;
                let (version, objects, live) = cacher.watch_newest(filter);
                let history = History::Objects {
                    objects,
                    after: None,
                    chunk: VecDeque::new(),
                };
                Ok(WatchBeginning {
                    history,
                    live: Some(live),
                    after: version,
                    initial_events: true,
                })
            }
            WatchStart::Now(freshness) => {
                self.fresh(freshness).await?;
                let (version, _, live) = cacher.watch_newest(filter);
                Ok(WatchBeginning {
                    history: History::None,
                    live: Some(live),
                    after: version,
                    initial_events: false,
                })
            }
        }
    }
}

/// The page behind `after` and the token of the next. What is known to remain is counted once, on the
/// first page, and carried in the token.
fn list_page(
    cacher: &Cacher,
    options: &ListOptions,
    version: ResourceVersion,
    objects: &Objects,
    after: Option<(Key, Option<u64>)>,
) -> ListPage {
    let namespace = options.namespace.as_deref();
    let filter = Filter::new(namespace, &options.selection);
    let (after, remaining) = after.map_or((None, None), |(key, remaining)| (Some(key), remaining));
    let (items, more) = page(objects, &filter, after.as_ref(), options.limit);
    let last = items.last().filter(|_| more);
    let Some(last) = last else {
        return ListPage {
            version,
            items,
            continue_token: None,
            remaining: None,
        };
    };
    let remaining = options.selection.is_everything().then(|| {
        let before = remaining.unwrap_or_else(|| count(objects, &filter, after.as_ref()) as u64);
        before.saturating_sub(items.len() as u64)
    });
    let position = Position::After(last.key.namespace.clone(), last.key.name.clone());
    let token = ContinueToken::new(
        &cacher.resource.name,
        namespace,
        Some(version),
        position,
        remaining,
    );
    ListPage {
        version,
        continue_token: Some(token.encode()),
        remaining,
        items,
    }
}

/// An expired list can be continued at the newest version, at the price of its consistency.
fn inconsistent(error: StorageError, token: &ContinueToken) -> StorageError {
    match error {
        StorageError::Expired { asked, oldest, .. } => StorageError::Expired {
            asked,
            oldest,
            continue_from: Some(token.at_newest().encode()),
        },
        error => error,
    }
}
