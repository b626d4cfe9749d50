//! Reading and watching append-only resources that live in the database only.
//!
//! Lists go from newest to oldest, pages of a watch's history from oldest to newest, both by keyset: no
//! transaction is held from page to page. Rows of this kind are never changed, so that a page at or
//! below a version is exact for that version whenever it is read, until retention passes it.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{Postgres, QueryBuilder, Row};

use super::cacher::{Cacher, Filter};
use super::continue_token::{ContinueToken, Position};
use super::error::StorageError;
use super::postgres::{Resource, object};
use super::resource_version::ResourceVersion;
use super::store::Storage;
use super::table::GroupResource;
use super::types::{
    Freshness, Key, ListOptions, ListPage, ListVersion, Stored, WatchEvent, WatchEventType, WatchOptions,
    WatchStart,
};
use super::watch_stream::{History, Past, WatchBeginning};

/// Rows read by one statement.
const CHUNK_ROWS: usize = 250;
/// The most rows looked at for one page; what does not match counts too.
const PAGE_ROWS_MAX: usize = 2000;
/// The most objects in one page, when the client sets no limit: such a page too ends with a token.
const PAGE_OBJECTS_MAX: usize = 2000;
/// A page ends early once it holds so many bytes of objects.
const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

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
    ) -> Result<Arc<Stored>, StorageError> {
        let row = sqlx::query(resource.get.clone())
            .bind(&key.namespace)
            .bind(&key.name)
            .fetch_optional(self.pool())
            .await?;
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
        let scan = Scan::new(self.pool(), resource, Filter::new(namespace, &options.selection));
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
        let past = TableHistory {
            scan: Scan::new(self.pool(), &cacher.resource, Filter::clone(filter)),
            cacher: Arc::clone(cacher),
            floor: (!initial_events).then_some(after),
            position: if initial_events {
                ResourceVersion::ZERO
            } else {
                after
            },
            until: after,
            closing_bookmark: initial_events && options.bookmarks,
            ready: VecDeque::new(),
            over: false,
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

/// Reads of one resource's table, for one selection.
struct Scan {
    pool: PgPool,
    resource: Arc<Resource>,
    filter: Filter,
}

/// Some objects, and where the scan stopped.
struct ScannedPage {
    items: Vec<Arc<Stored>>,
    /// The last version looked at, when there may be more.
    last: Option<ResourceVersion>,
    /// Objects at or below this version may be gone.
    floor: ResourceVersion,
}

/// Rows of one statement.
struct Chunk {
    floor: ResourceVersion,
    objects: Vec<Arc<Stored>>,
    full: bool,
}

impl Scan {
    fn new(pool: &PgPool, resource: &Arc<Resource>, filter: Filter) -> Self {
        Self {
            pool: pool.clone(),
            resource: Arc::clone(resource),
            filter,
        }
    }

    async fn newest_first(
        &self,
        snapshot: ResourceVersion,
        below: Option<ResourceVersion>,
        limit: usize,
    ) -> Result<ScannedPage, StorageError> {
        let limit = if limit == 0 { PAGE_OBJECTS_MAX } else { limit };
        let mut below = below.unwrap_or_else(|| ResourceVersion::new(snapshot.get() + 1));
        let mut page = ScannedPage {
            items: Vec::new(),
            last: None,
            floor: ResourceVersion::ZERO,
        };
        let (mut rows, mut bytes) = (0, 0);
        loop {
            // One more than asked tells whether more follows.
            let size = CHUNK_ROWS.min(limit - page.items.len() + 1);
            let chunk = self
                .chunk(ResourceVersion::ZERO, Bound::Below(snapshot, below), size)
                .await?;
            page.floor = page.floor.max(chunk.floor);
            for object in chunk.objects {
                if page.items.len() == limit || rows == PAGE_ROWS_MAX || bytes > PAGE_BYTES_MAX {
                    page.last = Some(below);
                    return Ok(page);
                }
                below = object.version;
                rows += 1;
                if self.filter.matches(&object) {
                    bytes += object.encoded.len();
                    page.items.push(object);
                }
            }
            if !chunk.full {
                return Ok(page);
            }
        }
    }

    /// The rows after one version and within another bound, as far as SQL can tell that they match.
    async fn chunk(&self, after: ResourceVersion, bound: Bound, size: usize) -> Result<Chunk, StorageError> {
        let table = self.resource.table.table;
        let mut query: QueryBuilder<Postgres> = QueryBuilder::new(
            "select f.floor_rv, t.resource_version, t.object
             from (select coalesce((select floor_rv from apiserver.resource_floors where resource = ",
        );
        query.push_bind(&self.resource.name);
        query.push("), 0) as floor_rv) f left join lateral (select resource_version, object from ");
        query
            .push(table)
            .push(" where resource_version > ")
            .push_bind(after.as_i64());
        let order = match bound {
            Bound::Below(snapshot, below) => {
                query
                    .push(" and resource_version <= ")
                    .push_bind(snapshot.as_i64());
                query.push(" and resource_version < ").push_bind(below.as_i64());
                "desc"
            }
            Bound::UpTo(last) => {
                query.push(" and resource_version <= ").push_bind(last.as_i64());
                "asc"
            }
        };
        self.push_selection(&mut query);
        query.push(format!(
            " order by resource_version {order} limit {size}) t on true"
        ));
        query.push(format!(" order by t.resource_version {order}"));
        let rows = query.build().fetch_all(&self.pool).await?;
        self.read(&rows, size)
    }

    fn push_selection(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(namespace) = &self.filter.namespace {
            query.push(" and namespace = ").push_bind(namespace);
        }
        let columns = self.resource.table.field_columns;
        for field in &self.filter.selection.fields {
            let column = match field.field.as_str() {
                "metadata.name" => Some("name"),
                name => columns
                    .iter()
                    .find(|(field, _)| *field == name)
                    .map(|(_, column)| *column),
            };
            let Some(column) = column else { continue };
            // An absent field is an empty one.
            match (field.equal, field.value.as_str()) {
                (true, value) if !value.is_empty() => query.push(format!(" and {column}::text = ")),
                (true, _) => query.push(format!(" and coalesce({column}::text, '') = ")),
                (false, _) => query.push(format!(" and coalesce({column}::text, '') <> ")),
            };
            query.push_bind(&field.value);
        }
    }

    fn read(&self, rows: &[PgRow], size: usize) -> Result<Chunk, StorageError> {
        let floor: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        let mut objects = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(version) = row.try_get::<Option<i64>, _>(1)? else {
                break;
            };
            let text: String = row.try_get(2)?;
            let version = ResourceVersion::new(version.cast_unsigned());
            objects.push(self.resource.table.stored(version, text)?);
        }
        let full = objects.len() == size;
        Ok(Chunk {
            floor: ResourceVersion::new(floor.cast_unsigned()),
            objects,
            full,
        })
    }
}

#[derive(Clone, Copy)]
enum Bound {
    /// At or below a snapshot, and below the last one seen; newest first.
    Below(ResourceVersion, ResourceVersion),
    /// Up to and with a version; oldest first.
    UpTo(ResourceVersion),
}

/// The history of a watch, read from the table until the ring of recent events reaches back to it.
struct TableHistory {
    scan: Scan,
    cacher: Arc<Cacher>,
    /// What retention must not pass; for initial events, what it had reached at the first page.
    floor: Option<ResourceVersion>,
    position: ResourceVersion,
    until: ResourceVersion,
    closing_bookmark: bool,
    ready: VecDeque<Past>,
    over: bool,
}

impl TableHistory {
    async fn next(mut self) -> Option<(Result<Past, StorageError>, Self)> {
        loop {
            if let Some(past) = self.ready.pop_front() {
                return Some((Ok(past), self));
            }
            if self.over {
                return None;
            }
            if let Err(error) = self.advance().await {
                self.over = true;
                return Some((Err(error), self));
            }
        }
    }

    async fn advance(&mut self) -> Result<(), StorageError> {
        if self.position < self.until {
            return self.read().await;
        }
        if std::mem::take(&mut self.closing_bookmark) {
            let bookmark = WatchEvent::Bookmark {
                version: self.until,
                initial_events_end: true,
            };
            self.ready.push_back(Past::Event(bookmark));
            return Ok(());
        }
        self.join()
    }

    async fn read(&mut self) -> Result<(), StorageError> {
        let chunk = self
            .scan
            .chunk(self.position, Bound::UpTo(self.until), CHUNK_ROWS)
            .await?;
        let floor = *self.floor.get_or_insert(chunk.floor);
        if chunk.floor > floor {
            return Err(StorageError::Expired {
                asked: floor,
                oldest: chunk.floor,
                continue_from: None,
            });
        }
        self.position = match chunk.objects.last() {
            Some(last) if chunk.full => last.version,
            _ => self.until,
        };
        let matching = chunk
            .objects
            .into_iter()
            .filter(|object| self.scan.filter.matches(object));
        let added = matching.map(|object| Past::Event(WatchEvent::Object(WatchEventType::Added, object)));
        self.ready.extend(added);
        Ok(())
    }

    /// Goes on with the ring, or with the table where the ring has moved on meanwhile.
    fn join(&mut self) -> Result<(), StorageError> {
        let filter = Arc::new(self.scan.filter.clone());
        match self.cacher.watch_after(self.position, &filter) {
            Ok((missed, live)) => {
                for event in missed {
                    self.ready
                        .extend(event.seen(&filter, &self.scan.resource.table)?.map(Past::Event));
                }
                self.ready.push_back(Past::Live(live));
                self.over = true;
            }
            Err(StorageError::Expired { .. }) => self.until = self.cacher.newest().0,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
