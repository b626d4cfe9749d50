-- Stamps that the queue is served, and gives every lease its full length anew after an outage of ours.
--
-- An outage is a stamp older than 15 seconds; or no renewal of anybody for half a lease while two or more
-- agents hold claims. The second is believed once until a renewal has arrived again: agents that are
-- really dead do not come back by waiting. A lease extended here looks as if renewed at that very moment.
with clock as materialized (
    select clock_timestamp() as now
),
state as materialized (
    select s.served_at, s.extended_at from work.queue_state s for update
),
renewed as (
    select max(l.expires_at - make_interval(secs => l.lease_seconds)) as last, min(l.lease_seconds) as seconds,
        count(distinct l.agent) as agents
    from work.work_leases l
    where not l.lapsed
),
outage as materialized (
    select s.served_at <= c.now - interval '15 seconds'
        or (r.agents >= 2 and r.last > s.extended_at and r.last <= c.now - make_interval(secs => r.seconds / 2.0)) as extend
    from clock c, state s, renewed r
),
locked as materialized (
    select l.order_uid
    from work.work_leases l
    where not l.lapsed and (select extend from outage)
    order by l.order_uid
    -- A row that is locked is being renewed, or decided by the writer, for which nobody may make it wait.
    for update skip locked
),
extended as (
    update work.work_leases l
    set expires_at = greatest(l.expires_at, (select now from clock) + make_interval(secs => l.lease_seconds))
    from locked k
    where l.order_uid = k.order_uid
)
update work.queue_state s
set served_at = (select now from clock),
    extended_at = case when (select extend from outage) then (select now from clock) else s.extended_at end
returning coalesce((select extend from outage), false)
