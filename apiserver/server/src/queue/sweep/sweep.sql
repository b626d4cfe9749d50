-- What has fallen due: $1 is an array of {max}, how many of each kind at most.
--
-- Lease rows are decided by their row lock: a renewal that holds one keeps it. Rows of work that may run
-- twice are deleted here, and only what that returned is requeued; the others are marked by the decision.
-- Nothing expires when the queue has not been served for a while: leases get their length anew first.
with bound as materialized (
    select max(x.max) as max, clock_timestamp() as now from json_to_recordset($1::json) as x (max integer)
),
lapsed as materialized (
    select l.order_uid, l.fence, l.keeps
    from work.work_leases l
    where l.expires_at <= (select now from bound) and not l.lapsed
        and (select s.served_at from work.queue_state s) > (select now from bound) - interval '15 seconds'
    order by l.expires_at
    limit (select max from bound)
    for update of l skip locked
),
lost as (
    delete from work.work_leases l
    where l.order_uid = any (array(select order_uid from lapsed where not keeps))
    returning l.order_uid, l.fence
),
due as materialized (
    select order_uid as id, 'leaseLost' as event, fence from lost
    union all
    select order_uid, 'leaseLost', fence from lapsed where keeps
    union all
    select * from (
        select o.id, 'cancelDeadline', o.fence from work.work_orders o
        where o.cancelling and o.cancel_deadline <= (select now from bound)
        order by o.cancel_deadline limit (select max from bound)) as cancelling
    union all
    select * from (
        select o.id, 'deadline', o.fence from work.work_orders o
        where o.status in ('PENDING', 'CLAIMED', 'RETRY_PENDING') and not o.cancelling
            and o.active_deadline <= (select now from bound)
        order by o.active_deadline limit (select max from bound)) as deadline
    union all
    select * from (
        select o.id, 'attemptCap', o.fence from work.work_orders o
        where o.status = 'CLAIMED' and not o.cancelling and o.attempt_deadline <= (select now from bound)
        order by o.attempt_deadline limit (select max from bound)) as attempt
    union all
    select * from (
        select o.id, 'backoff', o.fence from work.work_orders o
        where o.status = 'RETRY_PENDING' and o.next_retry_after <= (select now from bound)
        order by o.next_retry_after limit (select max from bound)) as retry
    union all
    select * from (
        select o.id, 'ttl', o.fence from work.work_orders o
        where o.expires_at <= (select now from bound)
        order by o.expires_at limit (select max from bound)) as finished
)
select json_build_object('event', d.event, 'fence', d.fence, 'order', s.state)::text
from due d
-- The limit keeps this a look-up per row, whatever the planner thinks of how much is due.
cross join lateral (select s.state from work.order_states s where s.id = d.id limit 1) s
