//! Keyset reads of an append-only resource's table: newest first for lists, oldest first for the history
//! of watches. What SQL can tell of a selection it is told; the rest is compared here.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{Postgres, QueryBuilder, Row};

use super::cacher::Filter;
use super::error::StorageError;
use super::postgres::{self, Resource};
use super::resource_version::ResourceVersion;
use super::selection::FieldRequirement;
use super::store::Storage;
use super::types::Stored;

/// Rows read by one statement.
pub(super) const CHUNK_ROWS: usize = 250;
/// The most rows looked at for one page; what does not match counts too.
const PAGE_ROWS_MAX: usize = 2000;
/// The most objects in one page, when the client sets no limit: such a page too ends with a token.
const PAGE_OBJECTS_MAX: usize = 2000;
/// A page ends early once it holds so many bytes of objects.
const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Reads of one resource's table, for one selection.
pub(super) struct Scan {
    pool: PgPool,
    statement_timeout: Duration,
    pub(super) resource: Arc<Resource>,
    pub(super) filter: Filter,
}

/// Some objects, and where the scan stopped.
pub(super) struct ScannedPage {
    pub(super) items: Vec<Arc<Stored>>,
    /// The last version looked at, when there may be more.
    pub(super) last: Option<ResourceVersion>,
    /// Objects at or below this version may be gone.
    pub(super) floor: ResourceVersion,
}

/// Rows of one statement.
pub(super) struct Chunk {
    pub(super) floor: ResourceVersion,
    pub(super) objects: Vec<Arc<Stored>>,
    pub(super) full: bool,
}

impl Scan {
    pub(super) fn new(storage: &Storage, resource: &Arc<Resource>, filter: Filter) -> Self {
        Self {
            pool: storage.pool().clone(),
            statement_timeout: storage.inner.options.statement_timeout,
            resource: Arc::clone(resource),
            filter,
        }
    }

    pub(super) async fn newest_first(
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
    pub(super) async fn chunk(
        &self,
        after: ResourceVersion,
        bound: Bound,
        size: usize,
    ) -> Result<Chunk, StorageError> {
        let table = self.resource.table.table;
        let mut query: QueryBuilder<Postgres> = QueryBuilder::new(
            "select f.floor_rv, t.resource_version, t.object
             from (select greatest(epoch::bigint << 40,
                 (select floor_rv from apiserver.resource_floors where resource = ",
        );
        query.push_bind(&self.resource.name);
        query.push(")) as floor_rv from apiserver.rv_meta) f left join lateral (select resource_version, object from ");
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
        let statement = async |connection: &mut PgConnection| query.build().fetch_all(connection).await;
        let rows = postgres::read(&self.pool, self.statement_timeout, statement).await?;
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
            if let Some(column) = column {
                self.push_field(query, column, field);
            }
        }
    }

    /// An absent field is an empty one. A value is compared in its column's own type where it has that
    /// type's form, so that an index serves, and as text otherwise.
    fn push_field(&self, query: &mut QueryBuilder<Postgres>, column: &str, field: &FieldRequirement) {
        let own = self.resource.table.columns.iter().find(|own| own.name == column);
        let value = field.value.as_str();
        let typed = match own.map_or("text", |own| own.sql_type) {
            "boolean" => value.parse::<bool>().is_ok().then_some("boolean"),
            "uuid" => uuid::Uuid::parse_str(value).is_ok().then_some("uuid"),
            _ => None,
        };
        match (field.equal, typed) {
            (true, Some(sql_type)) => {
                query
                    .push(format!(" and {column} = cast("))
                    .push_bind(&field.value);
                query.push(format!("::text as {sql_type})"));
            }
            (true, None) if !value.is_empty() => {
                query
                    .push(format!(" and {column}::text = "))
                    .push_bind(&field.value);
            }
            (equal, _) => {
                let operator = if equal { "=" } else { "<>" };
                query
                    .push(format!(" and coalesce({column}::text, '') {operator} "))
                    .push_bind(&field.value);
            }
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
pub(super) enum Bound {
    /// At or below a snapshot, and below the last one seen; newest first.
    Below(ResourceVersion, ResourceVersion),
    /// Up to and with a version; oldest first.
    UpTo(ResourceVersion),
}
