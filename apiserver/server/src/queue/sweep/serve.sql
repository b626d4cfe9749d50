-- Stamps that the queue is served, and gives every lease its full length anew after an outage of ours.
--
-- An outage is a stamp older than 15 seconds; or silence: two or more agents have let half a lease pass
-- without a renewal, and for half of the shortest of these no agent was heard of at all, nor one that holds
-- nothing. Silence is believed for as long as it lasts: what ends orders of agents that are really dead is
-- then the cap of their attempts. A lease extended here looks as if renewed at that very moment.
with clock as materialized (
    select clock_timestamp() as now
),
state as materialized (
    select s.served_at, s.heard_at from work.queue_state s for update
),
silent as (
    select count(distinct l.agent) as agents, min(l.lease_seconds) as seconds
    from work.work_leases l, clock c
    where not l.lapsed and l.expires_at - make_interval(secs => l.lease_seconds / 2.0) <= c.now
),
heard as (
    select greatest(max(l.expires_at - make_interval(secs => l.lease_seconds)), (select heard_at from state)) as last
    from work.work_leases l
    where not l.lapsed
),
outage as materialized (
    select s.served_at <= c.now - interval '15 seconds'
        or (i.agents >= 2 and h.last <= c.now - make_interval(secs => i.seconds / 2.0)) as extend
    from clock c, state s, silent i, heard h
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
