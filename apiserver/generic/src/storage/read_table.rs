//! Reading and watching append-only resources that live in the database only.
//!
//! Lists go from newest to oldest, pages of a watch's history from oldest to newest, both by keyset: no
//! transaction is held from page to page. Rows of this kind are never changed, so that a page at or
//! below a version is exact for that version whenever it is read, until retention passes it.

use std::sync::Arc;

use futures::StreamExt;
use sqlx::postgres::PgConnection;

use super::cacher::{Cacher, Filter};
use super::continue_token::{ContinueToken, Position};
use super::error::StorageError;
use super::postgres::{self, Resource, object};
use super::resource_version::ResourceVersion;
use super::store::Storage;
use super::table::GroupResource;
use super::table_history::TableHistory;
use super::table_scan::Scan;
use super::types::{Freshness, Key, ListOptions, ListPage, ListVersion, Stored, WatchOptions, WatchStart};
use super::watch_stream::{History, WatchBeginning};

impl Storage {
    /// Raises the version at or below which objects of an append-only resource may be gone, before they
    /// are removed. Open watches of the resource end with `Expired`.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn raise_floor(
        &self,
        resource: GroupResource,
        floor: ResourceVersion,
    ) -> Result<(), StorageError> {
        sqlx::query(
            "insert into apiserver.resource_floors as f (resource, floor_rv) values ($1, $2)
             on conflict (resource) do update set floor_rv = greatest(f.floor_rv, excluded.floor_rv)",
        )
        .bind(&self.resource(resource)?.name)
        .bind(floor.as_i64())
        .execute(self.pool())
        .await?;
        Ok(())
    }

    pub(super) async fn get_from_table(
        &self,
        resource: &Resource,
        key: &Key,
        freshness: Freshness,
    ) -> Result<Arc<Stored>, StorageError> {
        // The table is as new as can be; a version that is still to come is waited for as everywhere.
        if matches!(freshness, Freshness::NotOlderThan(_)) {
            self.fresh(freshness).await?;
        }
        let query = sqlx::query(resource.get.clone())
            .bind(&key.namespace)
            .bind(&key.name);
        let statement = async |connection: &mut PgConnection| query.fetch_optional(connection).await;
        let row = postgres::read(self.pool(), self.inner.options.statement_timeout, statement).await?;
        let row = row.ok_or_else(|| StorageError::NotFound(key.clone()))?;
        object(resource, &row)
    }

    pub(super) async fn list_from_table(
        &self,
        cacher: &Cacher,
        options: &ListOptions,
    ) -> Result<ListPage, StorageError> {
        let resource = &cacher.resource;
        let namespace = options.namespace.as_deref();
        let token = options.continue_token.as_deref();
        let token = token
            .map(|text| ContinueToken::decode(text, &resource.name, namespace))
            .transpose()?;
        let version = match token.as_ref().map(ContinueToken::version) {
            Some(Some(version)) => version,
            Some(None) => self.fresh(Freshness::Latest).await?,
            None => self.list_version(options.version).await?,
        };
        let below = token.as_ref().map(ContinueToken::below).transpose()?;
        let scan = Scan::new(self, resource, Filter::new(namespace, &options.selection));
        let page = scan.newest_first(version, below, options.limit).await?;
        if version < page.floor {
            let continue_from = token.map(|token| token.at_newest().encode());
            return Err(StorageError::Expired {
                asked: version,
                oldest: page.floor,
                continue_from,
            });
        }
        let next = page.last.map(|last| {
            let position = Position::Below(last.get());
            ContinueToken::new(&resource.name, namespace, Some(version), position, None).encode()
        });
        Ok(ListPage {
            version,
            items: page.items,
            continue_token: next,
            // To count them would be to read all of them, and there is no end to a log.
            remaining: None,
        })
    }

    async fn list_version(&self, asked: ListVersion) -> Result<ResourceVersion, StorageError> {
        match asked {
            ListVersion::Fresh(freshness) => self.fresh(freshness).await,
            ListVersion::Exact(version) => {
                self.fresh(Freshness::NotOlderThan(version)).await?;
                Ok(version)
            }
        }
    }

    pub(super) async fn watch_table(
        &self,
        cacher: &Arc<Cacher>,
        filter: &Arc<Filter>,
        options: &WatchOptions,
    ) -> Result<WatchBeginning, StorageError> {
        let initial_events = matches!(options.start, WatchStart::InitialEvents(_));
        let after = match options.start {
            WatchStart::After(version) => {
                self.wait_until_filled().await?;
                version
            }
            WatchStart::InitialEvents(freshness) | WatchStart::Now(freshness) => {
                self.fresh(freshness).await?
            }
        };
        let oldest = cacher.retained_after();
        if after < oldest {
            return Err(StorageError::Expired {
                asked: after,
                oldest,
                continue_from: None,
            });
        }
        let scan = Scan::new(self, &cacher.resource, Filter::clone(filter));
        let past = if initial_events {
            TableHistory::initial_events(scan, cacher, after, options.bookmarks)
        } else {
            TableHistory::after(scan, cacher, after)
        };
        let history = futures::stream::unfold(past, TableHistory::next);
        // A stream that has ended with an error is not polled again.
        let history = History::Stream(history.boxed());
        Ok(WatchBeginning {
            history,
            live: None,
            after,
            initial_events: false,
        })
    }
}
