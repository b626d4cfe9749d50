//! Renewals: the lease row alone, in one autocommit statement, outside the version lock.
//!
//! The row lock decides between a renewal and the expiry of the same lease. A batch locks what is free
//! and waits for the rest one by one, so that it never holds one row while it waits for another: the
//! writer may do so.

mod progress;

use std::collections::HashMap;

use brokkr_apis::work::v1alpha1::{CancelNotice, Fence, HeldClaim, WorkOrder, WorkOrderPhase};
use generic_apiserver::mutant;
use generic_apiserver::storage::StorageError;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPool;

pub(super) use self::progress::{Admitted, ProgressDelay, changed_progress, wait};

use super::report::{CurrentClaim, ReportRefusal};
use crate::lifecycle::Refusal;

/// The statement of a renewal, by how it meets a row that is locked.
macro_rules! renewal {
    ($lock:literal) => {
        concat!(
            "with input as materialized (
    select x.* from json_to_recordset($1::json) as x (uid uuid, fence bigint, progress boolean)
),
locked as materialized (
    select l.order_uid
    from work.work_leases l
    where l.order_uid = any (array(select uid from input))
        and exists (select from input i where i.uid = l.order_uid and i.fence = l.fence)
        and l.agent = $2 and ($3::text is null or l.holder = $3)
    order by l.order_uid
    for update of l ",
            $lock,
            "
),
renewed as (
    update work.work_leases l set expires_at = clock_timestamp() + make_interval(secs => l.lease_seconds)
    where l.order_uid = any (array(select order_uid from locked))
    returning l.order_uid, l.fence, l.expires_at, l.lapsed, l.progress_at
)
select json_build_object('uid', r.order_uid, 'fence', r.fence, 'expiresAt', r.expires_at, 'lapsed', r.lapsed,
    'progressAt', r.progress_at, 'cancelling', o.cancelling, 'now', clock_timestamp(),
    'object', case when o.cancelling or i.progress then o.object end)::text
from renewed r
join input i on i.uid = r.order_uid and i.fence = r.fence
cross join lateral (
    select o.cancelling, o.object from work.work_orders o where o.id = r.order_uid limit 1
) o"
        )
    };
}

const RENEW_FREE: &str = renewal!("skip locked");
const RENEW_WAITING: &str = renewal!("");

/// Why a renewal found no row.
const REFUSED: &str = "
select json_build_object('uid', o.id, 'phase', o.object::json #>> '{status,phase}',
    'lease', (select json_build_object('agent', l.agent, 'holder', l.holder, 'fence', l.fence)
        from work.work_leases l where l.order_uid = o.id))::text
from work.work_orders o
where o.id = any (array(select x.uid from json_to_recordset($1::json) as x (uid uuid)))";

const HELD: &str = "
select json_build_object('namespace', o.namespace, 'name', o.name, 'uid', o.id, 'holder', l.holder, 'fence', l.fence,
    'attempt', l.attempt, 'phase', o.object::json #>> '{status,phase}', 'expiresAt', l.expires_at)::text
from work.work_leases l
join work.work_orders o on o.id = l.order_uid
where l.agent = $1
order by o.namespace, o.name";

/// Seldom enough that a thousand idle agents share a write of the state, and that each writes its own once a renewal.
const HEARD: &str = "
with contact as (
    insert into work.agent_contacts as c (agent, heard_at) values ($1, clock_timestamp())
    on conflict (agent) do update set heard_at = excluded.heard_at
    where c.heard_at < clock_timestamp() - interval '2 seconds'
)
update work.queue_state set heard_at = clock_timestamp() where heard_at < clock_timestamp() - interval '2 seconds'";

/// One claim to be renewed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RenewItem {
    pub(super) uid: String,
    pub(super) fence: Fence,
    /// Whether the order is needed to see what has changed.
    pub(super) progress: bool,
}

/// Uid of the order and fence.
type ClaimId = (String, Fence);

impl RenewItem {
    fn id(&self) -> ClaimId {
        (self.uid.clone(), self.fence)
    }
}

/// A renewed claim.
#[derive(Clone, Debug)]
pub(super) struct Renewed {
    pub(super) expires_at: Timestamp,
    pub(super) cancel: Option<CancelNotice>,
    /// The lease had run out and was kept: the order has to hear that its holder is back.
    pub(super) lapsed: bool,
    /// When progress was last written, and the time now, by the database.
    pub(super) progress_at: Option<Timestamp>,
    pub(super) now: Timestamp,
    /// The order, if it was asked for.
    pub(super) order: Option<WorkOrder>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenewedRow {
    uid: String,
    fence: Fence,
    expires_at: Timestamp,
    lapsed: bool,
    progress_at: Option<Timestamp>,
    cancelling: bool,
    now: Timestamp,
    object: Option<String>,
}

#[derive(Deserialize)]
struct RefusedRow {
    uid: String,
    phase: Option<WorkOrderPhase>,
    lease: Option<LeaseOwner>,
}

#[derive(Deserialize)]
struct LeaseOwner {
    agent: String,
    holder: String,
    fence: Fence,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeldRow {
    namespace: String,
    name: String,
    uid: String,
    holder: String,
    fence: Fence,
    attempt: i64,
    phase: Option<WorkOrderPhase>,
    expires_at: Timestamp,
}

/// Renews what the agent (and, if given, its process) still holds; one result per item.
pub(super) async fn renew(
    pool: &PgPool,
    agent: &str,
    holder: Option<&str>,
    items: &[RenewItem],
) -> Result<Vec<Result<Renewed, ReportRefusal>>, StorageError> {
    let mut renewed = run(pool, RENEW_FREE, agent, holder, items).await?;
    for item in items {
        if !renewed.contains_key(&item.id()) {
            let waited = run(pool, RENEW_WAITING, agent, holder, std::slice::from_ref(item)).await?;
            renewed.extend(waited);
        }
    }
    let missing: Vec<_> = items
        .iter()
        .filter(|item| !renewed.contains_key(&item.id()))
        .collect();
    let present = if missing.is_empty() {
        HashMap::new()
    } else {
        present(pool, &missing).await?
    };
    let result = |item: &RenewItem| match renewed.get(&item.id()) {
        Some(renewed) => Ok(renewed.clone()),
        None => Err(present
            .get(&item.uid)
            .map_or(ReportRefusal::NoOrder, |row| row.refusal(agent, item.fence))),
    };
    Ok(items.iter().map(result).collect())
}

async fn run(
    pool: &PgPool,
    statement: &'static str,
    agent: &str,
    holder: Option<&str>,
    items: &[RenewItem],
) -> Result<HashMap<ClaimId, Renewed>, StorageError> {
    let statement = if mutant!("i6-fence-not-compared-on-renew") {
        let statement = super::guard::without(statement, " and i.fence = l.fence", "");
        super::guard::without(statement, " and i.fence = r.fence", "")
    } else {
        statement
    };
    let query = sqlx::query_scalar(statement)
        .bind(super::rows::text(&items))
        .bind(agent)
        .bind(holder);
    let rows: Vec<String> = query.fetch_all(pool).await.map_err(StorageError::from)?;
    rows.iter().map(|row| parse::<RenewedRow>(row)?.read()).collect()
}

impl RenewedRow {
    fn read(self) -> Result<(ClaimId, Renewed), StorageError> {
        let order: Option<WorkOrder> = self.object.as_deref().map(parse).transpose()?;
        let notice = || {
            let cancellation = order
                .as_ref()
                .and_then(|order| order.status.as_ref()?.cancellation.clone());
            cancellation.map_or_else(CancelNotice::default, |asked| CancelNotice {
                reason: asked.reason,
                deadline: asked.deadline,
            })
        };
        let renewed = Renewed {
            expires_at: self.expires_at,
            cancel: self.cancelling.then(notice),
            lapsed: self.lapsed,
            progress_at: self.progress_at,
            now: self.now,
            order,
        };
        Ok(((self.uid, self.fence), renewed))
    }
}

/// The orders of renewals that found no row, by uid.
async fn present(pool: &PgPool, missing: &[&RenewItem]) -> Result<HashMap<String, RefusedRow>, StorageError> {
    let query = sqlx::query_scalar(REFUSED).bind(super::rows::text(&missing));
    let rows: Vec<String> = query.fetch_all(pool).await.map_err(StorageError::from)?;
    let keyed = |row: &String| {
        let row: RefusedRow = parse(row)?;
        Ok((row.uid.clone(), row))
    };
    rows.iter().map(keyed).collect()
}

impl RefusedRow {
    fn refusal(&self, agent: &str, fence: Fence) -> ReportRefusal {
        match &self.lease {
            Some(lease) if lease.fence == fence && lease.agent != agent => {
                ReportRefusal::OtherAgent(lease.agent.clone())
            }
            lease => ReportRefusal::State {
                refusal: Refusal::FenceSpent,
                phase: self.phase.unwrap_or_default(),
                current: lease.as_ref().map(|lease| CurrentClaim {
                    agent: lease.agent.clone(),
                    holder: lease.holder.clone(),
                    fence: lease.fence,
                }),
            },
        }
    }
}

/// Notes that an agent was heard of.
pub(super) async fn note_heard(pool: &PgPool, agent: &str) -> Result<(), StorageError> {
    sqlx::query(HEARD)
        .bind(agent)
        .execute(pool)
        .await
        .map(|_| ())
        .map_err(StorageError::from)
}

/// Every claim the agent holds.
pub(super) async fn held_claims(pool: &PgPool, agent: &str) -> Result<Vec<HeldClaim>, StorageError> {
    let query = sqlx::query_scalar(HELD).bind(agent);
    let rows: Vec<String> = query.fetch_all(pool).await.map_err(StorageError::from)?;
    let claim = |row: &String| {
        let row: HeldRow = parse(row)?;
        Ok(HeldClaim {
            namespace: row.namespace,
            name: row.name,
            uid: row.uid,
            holder: row.holder,
            fence: row.fence,
            attempt: row.attempt,
            phase: row.phase.unwrap_or_default(),
            expires_at: Some(MicroTime(row.expires_at)),
        })
    };
    rows.iter().map(claim).collect()
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, StorageError> {
    serde_json::from_str(text).map_err(|error| StorageError::Corrupt(format!("row of a renewal: {error}")))
}
