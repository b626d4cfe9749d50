//! The side rows of the queue: one statement per kind of row, each with the rows as `$1::json`; and the companions of
//! new orders, over their rows `r`.
//!
//! None of them takes a lock but on the rows it names. Renewals and the sweeper
//! never wait for one lease row while they hold another, so that the writer may lock them in any order. Rows are named by `= any (array(..))` besides the join: a plan that was made
//! while a table was empty would otherwise go on reading all of it.

use generic_apiserver::storage::SideRow;
use serde::Serialize;
use serde_json::{Value, json};

/// A lease that now is this one, whatever it was before.
pub(crate) const SET_LEASE: &str = "
insert into work.work_leases (order_uid, fence, agent, holder, attempt, lease_seconds, expires_at, keeps)
select x.uid, x.fence, x.agent, x.holder, x.attempt, x.seconds, x.at, x.keeps
from json_to_recordset($1::json) as x (
    uid uuid, fence bigint, agent text, holder text, attempt integer, seconds integer, at timestamptz, keeps boolean)
order by x.uid
on conflict (order_uid) do update set
    fence = excluded.fence, agent = excluded.agent, holder = excluded.holder, attempt = excluded.attempt,
    lease_seconds = excluded.lease_seconds, expires_at = excluded.expires_at, keeps = excluded.keeps,
    lapsed = false, progress_at = null";

/// A lease that lives on until then.
pub(crate) const RENEW_LEASE: &str = "
with x as materialized (select * from json_to_recordset($1::json) as x (uid uuid, at timestamptz)),
locked as materialized (
    select l.order_uid, x.at
    from work.work_leases l join x on x.uid = l.order_uid
    where l.order_uid = any (array(select uid from x))
    for update of l
)
update work.work_leases l set expires_at = greatest(l.expires_at, k.at)
from locked k
where l.order_uid = k.order_uid and l.order_uid = any (array(select order_uid from locked))";

/// A lease that has run out and is kept, or whose holder is back.
pub(crate) const MARK_LEASE: &str = "
with x as materialized (select * from json_to_recordset($1::json) as x (uid uuid, lapsed boolean)),
locked as materialized (
    select l.order_uid, x.lapsed
    from work.work_leases l join x on x.uid = l.order_uid
    where l.order_uid = any (array(select uid from x))
    for update of l
)
update work.work_leases l set lapsed = k.lapsed
from locked k
where l.order_uid = k.order_uid and l.order_uid = any (array(select order_uid from locked))";

/// A lease whose progress has been written into the object.
pub(crate) const MARK_PROGRESS: &str = "
with locked as materialized (
    select l.order_uid
    from work.work_leases l
    where l.order_uid = any (array(select uid from json_to_recordset($1::json) as x (uid uuid)))
    for update
)
update work.work_leases l set progress_at = clock_timestamp()
where l.order_uid = any (array(select order_uid from locked))";

/// A lease that goes; its fence is spent.
pub(crate) const DROP_LEASE: &str = "
with locked as materialized (
    select l.order_uid
    from work.work_leases l
    where l.order_uid = any (array(select uid from json_to_recordset($1::json) as x (uid uuid)))
    for update
)
delete from work.work_leases l where l.order_uid = any (array(select order_uid from locked))";

/// An attempt as it now is.
pub(crate) const SET_ATTEMPT: &str = "
insert into work.attempts (order_uid, attempt, agent, holder, fence, claimed_at, ended_at, outcome, object, answer)
select x.uid, x.attempt, x.agent, x.holder, x.fence, coalesce(x.claimed_at, clock_timestamp()), x.ended_at, x.outcome,
    x.object, x.answer
from json_to_recordset($1::json) as x (
    uid uuid, attempt integer, agent text, holder text, fence bigint, claimed_at timestamptz, ended_at timestamptz,
    outcome text, object text, answer text)
on conflict (order_uid, attempt) do update set
    agent = excluded.agent, holder = excluded.holder, fence = excluded.fence, ended_at = excluded.ended_at,
    outcome = excluded.outcome, object = excluded.object, answer = excluded.answer";

/// The agent of the attempt that has just ended, and whether it is not asked again.
pub(crate) const SET_LAST_AGENT: &str = "
with x as materialized (
    select * from json_to_recordset($1::json) as x (uid uuid, agent text, excluded boolean)
)
update work.work_orders o
set last_agent = x.agent,
    excluded_agents = case when x.excluded and not x.agent = any (o.excluded_agents)
        then array_append(o.excluded_agents, x.agent) else o.excluded_agents end
from x
where o.id = x.uid and o.id = any (array(select uid from x))";

/// When a cancellation is no longer waited for.
pub(crate) const SET_CANCEL_DEADLINE: &str = "
with x as materialized (select * from json_to_recordset($1::json) as x (uid uuid, at timestamptz))
update work.work_orders o set cancel_deadline = x.at
from x
where o.id = x.uid and o.id = any (array(select uid from x))";

/// With the rows `r` of new orders: makes their uids and idempotency keys unique. A key is taken as long as its row
/// stays; nothing removes the rows of logged orders yet. One that was stored finished has none: its key is the
/// earlier order's.
pub(crate) const ADD_KEYS: &str = "
insert into work.work_order_keys (order_uid, namespace, namespace_uid, order_name, idempotency_key, spec_hash)
select r.uid, r.namespace, r.namespace_uid, r.name, r.idempotency_key, r.spec_hash from r where r.spec_hash is not null";

/// With the rows `r` of new orders: the turn each namespace was last given. Turns rise within a namespace.
pub(crate) const SET_NAMESPACE_TURNS: &str = "
insert into work.namespace_turns (namespace, last_turn)
select r.namespace, max(r.turn) from r where r.turn is not null group by r.namespace order by r.namespace
on conflict (namespace) do update set last_turn = excluded.last_turn";

/// An order that now has its log entry.
pub(crate) const SET_LOGGED: &str = "
with x as materialized (
    select * from json_to_recordset($1::json) as x (uid uuid, log_name text, at timestamptz)
)
update work.work_order_keys k set log_name = x.log_name, completed_at = x.at
from x
where k.order_uid = x.uid and k.order_uid = any (array(select uid from x))";

/// The answer to a claim with a request id, in place of one that no longer counts.
pub(crate) const SET_CLAIM_REQUEST: &str = "
insert into work.claim_requests (agent, request_id, body_hash, answer, answered_at)
select x.agent, x.request_id, x.body_hash, x.answer, clock_timestamp()
from json_to_recordset($1::json) as x (agent text, request_id text, body_hash text, answer text)
on conflict (agent, request_id) do update set
    body_hash = excluded.body_hash, answer = excluded.answer, answered_at = excluded.answered_at";

/// An agent that got less than it asked for and could take more. One that was rung in vain, and one that
/// got something, begins a new wait.
pub(crate) const SET_IDLE: &str = "
insert into work.idle_agents (agent, since, asked_at, limited_user)
select x.agent, clock_timestamp(), clock_timestamp(), x.limited_user
from json_to_recordset($1::json) as x (agent text, limited_user text)
on conflict (agent) do update set
    since = case when idle_agents.rung_at is null and not exists (
            select from json_to_recordset($1::json) as y (agent text, served boolean)
            where y.agent = idle_agents.agent and y.served)
        then idle_agents.since else excluded.since end,
    asked_at = excluded.asked_at, rung_at = null, limited_user = excluded.limited_user";

/// An agent that is busy.
pub(crate) const SET_BUSY: &str = "
delete from work.idle_agents i
where i.agent = any (array(select agent from json_to_recordset($1::json) as x (agent text)))";

/// An agent that has been rung.
pub(crate) const SET_RUNG: &str = "
update work.idle_agents i set rung_at = clock_timestamp()
where i.agent = any (array(select agent from json_to_recordset($1::json) as x (agent text)))";

/// A report that came with a spent fence; of an order that has many already, it is let go.
pub(crate) const ADD_LATE_REPORT: &str = "
insert into work.late_reports (order_uid, fence, received_at, user_name, report)
select x.uid, x.fence, clock_timestamp(), x.user_name, x.report
from json_to_recordset($1::json) as x (uid uuid, fence bigint, user_name text, report text)
where (select count(*) from work.late_reports r where r.order_uid = x.uid) < 100
on conflict (order_uid, fence) do nothing";

/// A distinct set of target terms.
pub(crate) const ADD_TARGET_SET: &str = "
insert into work.target_sets (hash, terms)
select x.hash, x.terms from json_to_recordset($1::json) as x (hash text, terms text)
on conflict (hash) do nothing";

/// An agent that a set matches.
pub(crate) const ADD_TARGET_AGENT: &str = "
insert into work.target_set_agents (target_set_id, agent_name)
select s.id, x.agent
from json_to_recordset($1::json) as x (hash text, agent text)
cross join lateral (select s.id from work.target_sets s where s.hash = x.hash limit 1) s
on conflict do nothing";

/// An agent that is in no set until it is matched again.
pub(crate) const DROP_TARGET_AGENT: &str = "
delete from work.target_set_agents t
where t.agent_name = any (array(select agent from json_to_recordset($1::json) as x (agent text)))";

/// The set of agents of a new order, where the set is as new.
pub(crate) const SET_TARGETS: &str = "
with x as materialized (select * from json_to_recordset($1::json) as x (uid uuid, hash text))
update work.work_orders o set target_set_id = s.id
from x, work.target_sets s
where o.id = x.uid and s.hash = x.hash and o.id = any (array(select uid from x))
    and s.hash = any (array(select hash from x))";

/// The turn of an order that is back in the queue, and that its namespace was last given.
pub(crate) const SET_TURN: &str = "
with x as materialized (
    select * from json_to_recordset($1::json) as x (uid uuid, namespace text, turn bigint)
),
given as (
    insert into work.namespace_turns (namespace, last_turn)
    select x.namespace, max(x.turn) from x group by x.namespace order by x.namespace
    on conflict (namespace) do update set last_turn = excluded.last_turn
)
update work.work_orders o set turn = x.turn, ready_since = clock_timestamp()
from x
where o.id = x.uid and o.id = any (array(select uid from x))";

/// One row of a statement.
pub(crate) fn row(statement: &'static str, row: Value) -> SideRow {
    SideRow { statement, row }
}

/// One row that names an order alone.
pub(crate) fn order(statement: &'static str, uid: &str) -> SideRow {
    row(statement, json!({ "uid": uid }))
}

/// A value as the text of a column.
pub(crate) fn text(value: &impl Serialize) -> String {
    // What is written here has string keys and no maps of other kinds: it always has a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}
