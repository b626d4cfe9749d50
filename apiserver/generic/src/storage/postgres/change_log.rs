//! The change log: the truth about what happened, read in order by the tailer.
//!
//! Events at or below the floor may be gone. The floor rises in a transaction of its own before events
//! are removed, and it is read in the same snapshot as the events: a reader never takes a gap for peace.

use std::collections::HashMap;
use std::sync::Arc;

use futures::TryStreamExt;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Executor, Row};

use super::{Resource, Resources};
use crate::storage::error::StorageError;
use crate::storage::options::StorageOptions;
use crate::storage::resource_version::ResourceVersion;
use crate::storage::types::{Stored, WatchEventType};

/// Events read at once.
pub(crate) const PAGE_EVENTS: i64 = 2000;

/// One event of the log.
#[derive(Debug)]
pub(crate) struct LoggedEvent {
    pub(crate) version: ResourceVersion,
    pub(crate) resource: Arc<Resource>,
    pub(crate) kind: WatchEventType,
    pub(crate) object: Arc<Stored>,
}

/// A point of the log: a version, and when its event was written, in microseconds since 1970. Histories
/// that have parted may share a version, but hardly both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) version: ResourceVersion,
    /// None where there is no event.
    pub(crate) written: Option<i64>,
}

/// A stretch of the log, read in one snapshot.
#[derive(Debug)]
pub(crate) struct Page {
    /// The oldest version whose events are surely all kept.
    pub(crate) floor: ResourceVersion,
    /// Events of the resources known here.
    pub(crate) events: Vec<LoggedEvent>,
    /// The last event, of whatever resource.
    pub(crate) last: Option<Point>,
    /// Whether the snapshot may hold more events after these.
    pub(crate) full: bool,
    /// Where the present epoch begins: what is known of earlier versions may not be so any more.
    pub(crate) epoch_start: ResourceVersion,
    /// The floors of the append-only resources that have one.
    pub(crate) resource_floors: HashMap<String, i64>,
}

/// Reads what follows a version; floor and events come from one snapshot.
pub(crate) async fn read(
    connection: &mut PgConnection,
    resources: &Resources,
    after: ResourceVersion,
) -> Result<Page, StorageError> {
    let rows = sqlx::query(
        "select m.floor_rv,
             (select json_object_agg(f.resource, f.floor_rv)::text from apiserver.resource_floors f),
             e.rv, e.resource, e.type, e.object, (extract(epoch from e.at) * 1000000)::bigint,
             m.epoch::bigint << 40
         from apiserver.rv_meta m
         left join lateral (
             select rv, resource, type, object, at from apiserver.watch_events
             where rv > $1 order by rv limit $2
         ) e on true
         order by e.rv",
    )
    .bind(after.as_i64())
    .bind(PAGE_EVENTS)
    .fetch_all(connection)
    .await?;
    page(resources, &rows)
}

fn page(resources: &Resources, rows: &[PgRow]) -> Result<Page, StorageError> {
    let first = rows
        .first()
        .ok_or_else(|| StorageError::Corrupt("apiserver.rv_meta is empty".to_owned()))?;
    let floors: Option<String> = first.try_get(1)?;
    let mut page = Page {
        floor: version(first, 0)?.unwrap_or(ResourceVersion::ZERO),
        events: Vec::with_capacity(rows.len()),
        last: None,
        full: i64::try_from(rows.len()).is_ok_and(|rows| rows >= PAGE_EVENTS),
        epoch_start: version(first, 7)?.unwrap_or(ResourceVersion::ZERO),
        resource_floors: floors
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default(),
    };
    for row in rows {
        let Some(version) = version(row, 2)? else { break };
        page.last = Some(Point {
            version,
            written: row.try_get(6)?,
        });
        page.events.extend(event(resources, version, row, 3)?);
    }
    Ok(page)
}

/// The event in the columns from `first` on; none when its resource is unknown here.
fn event(
    resources: &Resources,
    version: ResourceVersion,
    row: &PgRow,
    first: usize,
) -> Result<Option<LoggedEvent>, StorageError> {
    let Some(resource) = resources.named(row.try_get(first)?) else {
        return Ok(None);
    };
    let kind = kind(row.try_get(first + 1)?)?;
    let text: String = row.try_get(first + 2)?;
    let object = resource.table.stored(version, text)?;
    Ok(Some(LoggedEvent {
        version,
        resource: Arc::clone(resource),
        kind,
        object,
    }))
}

/// The current objects of the cached resources and what led to them, at one version.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) at: Point,
    pub(crate) objects: Vec<(Arc<Resource>, Vec<Arc<Stored>>)>,
    /// All events after this version, in order, of every resource.
    pub(crate) events_after: ResourceVersion,
    pub(crate) events: Vec<LoggedEvent>,
}

/// Reads all objects of the cached resources in one snapshot. The version is exact: whoever is visible
/// in a snapshot, everybody before is. With them come the recent events, so that a watch may resume on
/// a replica that has only just started.
pub(crate) async fn snapshot(
    connection: &mut PgConnection,
    resources: &Resources,
    options: &StorageOptions,
) -> Result<Snapshot, StorageError> {
    // Dropped before its end, the transaction is rolled back when the connection is next used.
    let mut tx = connection.begin().await?;
    tx.execute("set transaction isolation level repeatable read, read only")
        .await?;
    // Reading everything may take longer than any other statement, and is best done in one sweep.
    tx.execute("set local statement_timeout = 0; set local enable_seqscan = on")
        .await?;
    let at = newest(&mut tx).await?;
    let mut objects = Vec::new();
    for resource in resources.cached() {
        objects.push((Arc::clone(resource), all(&mut tx, resource).await?));
    }
    let mut snapshot = Snapshot {
        at,
        objects,
        events_after: at.version,
        events: Vec::new(),
    };
    recent(&mut tx, resources, options, &mut snapshot).await?;
    tx.commit().await?;
    Ok(snapshot)
}

/// Reads the newest events, as far back as a cache would still hold them.
async fn recent(
    connection: &mut PgConnection,
    resources: &Resources,
    options: &StorageOptions,
    snapshot: &mut Snapshot,
) -> Result<(), StorageError> {
    let mut rows = sqlx::query(
        "select rv, resource, type, object from apiserver.watch_events
         where rv > (select floor_rv from apiserver.rv_meta)
             and at > clock_timestamp() - make_interval(secs => $1)
         order by rv desc limit $2",
    )
    .bind(options.ring_age.as_secs_f64())
    .bind(i64::try_from(options.ring_events_max).unwrap_or(i64::MAX))
    .fetch(connection);
    let mut bytes = 0;
    while let Some(row) = rows.try_next().await? {
        let Some(version) = version(&row, 0)? else {
            continue;
        };
        let event = event(resources, version, &row, 1)?;
        bytes += event.as_ref().map_or(0, |event| event.object.encoded.len());
        if bytes > options.ring_bytes_max {
            break;
        }
        snapshot.events_after = ResourceVersion::new(version.get() - 1);
        snapshot.events.extend(event);
    }
    snapshot.events.reverse();
    Ok(())
}

async fn all(connection: &mut PgConnection, resource: &Resource) -> Result<Vec<Arc<Stored>>, StorageError> {
    let mut rows = sqlx::query(resource.all.clone()).fetch(connection);
    let mut objects = Vec::new();
    while let Some(row) = rows.try_next().await? {
        objects.push(object(resource, &row)?);
    }
    Ok(objects)
}

/// The object of a row of version and text.
pub(crate) fn object(resource: &Resource, row: &PgRow) -> Result<Arc<Stored>, StorageError> {
    let version = version(row, 0)?.unwrap_or(ResourceVersion::ZERO);
    let text: String = row.try_get(1)?;
    resource.table.stored(version, text)
}

/// The newest version that is visible to the connection's snapshot.
pub(crate) async fn newest(connection: &mut PgConnection) -> Result<Point, StorageError> {
    let row = sqlx::query(
        "select greatest(m.floor_rv, e.rv),
             case when e.rv >= m.floor_rv then (extract(epoch from e.at) * 1000000)::bigint end
         from apiserver.rv_meta m
         left join (select rv, at from apiserver.watch_events order by rv desc limit 1) e on true",
    )
    .fetch_one(connection)
    .await?;
    Ok(Point {
        version: version(&row, 0)?.unwrap_or(ResourceVersion::ZERO),
        written: row.try_get(1)?,
    })
}

fn version(row: &PgRow, column: usize) -> Result<Option<ResourceVersion>, StorageError> {
    let number: Option<i64> = row.try_get(column)?;
    Ok(number.map(|number| ResourceVersion::new(number.cast_unsigned())))
}

fn kind(text: &str) -> Result<WatchEventType, StorageError> {
    match text {
        "ADDED" => Ok(WatchEventType::Added),
        "MODIFIED" => Ok(WatchEventType::Modified),
        "DELETED" => Ok(WatchEventType::Deleted),
        other => Err(StorageError::Corrupt(format!("event type {other:?}"))),
    }
}
