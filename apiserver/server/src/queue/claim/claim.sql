-- What the claims of one batch decide on: $1 is the array of claims, one json text per row comes back.
--
-- Rows about a caller carry its ordinal; an order comes once, however many callers it is offered to.
-- Candidates are found once per (target set, work type) and list of allowed namespaces, at most as many
-- as the callers that reach them want together. Orders that are not alike to all targeted agents
-- (excluded agents, an agent of the last attempt) are found per caller, from an index of their own.
-- Of all these, read are those that some caller can come to, however many sets there are.
with claim as materialized (
    select c.input, x.*
    from json_array_elements($1::json) with ordinality as c (value, input)
    cross join lateral json_to_record(c.value) as x (
        agent text, "requestID" text, want integer, "workTypes" text[], namespaces text[],
        "orderNamespace" text, "orderName" text, terminating text[])
),
-- Namespaces that are being deleted: their orders are claimed by nobody, and are in nobody's way.
going as materialized (
    select coalesce(array_agg(distinct n.namespace), '{}') as namespaces
    from claim c cross join lateral unnest(c.terminating) as n (namespace)
),
held as materialized (
    select c.agent, o.work_type, count(*) as held
    from (select distinct agent from claim) c
    cross join lateral (
        -- The order is that of the index to be used.
        select o.work_type
        from work.work_orders o
        where o.status = 'CLAIMED' and o.claimed_by = c.agent
        order by o.claimed_by, o.id
        limit 100000
    ) o
    group by c.agent, o.work_type
),
caller as materialized (
    select c.*, a.unschedulable, a.lease_seconds,
        coalesce((a.concurrency::json ->> 'total')::integer, 5) as total,
        coalesce(a.concurrency::json -> 'byType', '{}'::json) as by_type,
        coalesce((select json_object_agg(h.work_type, h.held) from held h where h.agent = c.agent), '{}'::json) as held,
        coalesce((select sum(h.held) from held h where h.agent = c.agent), 0) as held_total,
        array_replace(a.work_types, 'shipwright-build', 'build') as served
    from claim c
    join work.agents a on a.namespace = '' and a.name = c.agent
),
-- Requests that have been answered before. An answer counts for ten minutes, whenever it is forgotten.
answered as materialized (
    select c.input, r.body_hash, r.answer
    from claim c
    join work.claim_requests r on r.agent = c.agent and r.request_id = c."requestID"
    where r.answered_at > (select clock_timestamp() - interval '10 minutes')
),
-- Which queues a batch claim draws from, and how many orders it can take from each.
reach as materialized (
    select c.input, c.agent, c.namespaces, s.target_set_id, t.work_type,
        case when c.by_type::text <> '{}' then t.work_type end as limit_of,
        least(c.want, c.total - c.held_total, (c.by_type ->> t.work_type)::bigint - coalesce((c.held ->> t.work_type)::bigint, 0)) as want
    from caller c
    join work.target_set_agents s on s.agent_name = c.agent
    cross join lateral unnest(c."workTypes") as t (work_type)
    where c.want > 0 and not c.unschedulable and c."orderName" is null
        and (c.served = '{}' or t.work_type = any (c.served))
        and not exists (select from answered a where a.input = c.input)
),
demand as (
    select target_set_id, work_type, namespaces, sum(want) as want, array_agg(input) as inputs, array_agg(limit_of) as limits_of
    from reach where want > 0 group by 1, 2, 3
),
candidate as materialized (
    select d.inputs, d.limits_of, false as again, o.id, o.priority, o.turn, o.created_at, o.bytes
    from demand d
    cross join lateral (
        select o.id, o.priority, o.turn, o.created_at, octet_length(o.object) as bytes
        from work.work_orders o
        where o.target_set_id = d.target_set_id and o.work_type = d.work_type
            and o.status = 'PENDING' and not o.suspended and not o.selective
            and (d.namespaces is null or o.namespace = any (d.namespaces))
            and not o.namespace = any ((select g.namespaces from going g)::text[])
        order by o.priority desc, o.turn, o.created_at, o.id
        limit d.want
    ) o
    union all
    select array[r.input], array[r.limit_of], o.last_agent is not distinct from r.agent, o.id, o.priority, o.turn, o.created_at, o.bytes
    from reach r
    join (select target_set_id, work_type, sum(want) as want from demand group by 1, 2) d using (target_set_id, work_type)
    cross join lateral (
        select o.id, o.priority, o.turn, o.created_at, o.last_agent, octet_length(o.object) as bytes
        from work.work_orders o
        where o.target_set_id = d.target_set_id and o.work_type = d.work_type
            and o.status = 'PENDING' and not o.suspended and o.selective
            and not r.agent = any (o.excluded_agents)
            and (r.namespaces is null or o.namespace = any (r.namespaces))
            and not o.namespace = any ((select g.namespaces from going g)::text[])
        order by o.priority desc, o.turn, o.created_at, o.id
        limit d.want
    ) o
    where r.want > 0
),
-- A caller comes no further than all callers of the batch want together: those before it may take what it would.
-- Its limits may differ by type, and what it ran last it may have to leave to another agent for a moment.
offered as (
    select c.id, c.priority, c.turn, c.created_at, c.bytes, row_number() over (
        partition by u.input, u.limit_of, c.again order by c.priority desc, c.turn, c.created_at, c.id) as place
    from candidate c
    cross join lateral unnest(c.inputs, c.limits_of) as u (input, limit_of)
),
wanted as (
    select distinct id, priority, turn, created_at, bytes from offered where place <= (select sum(want) from caller)
),
-- As many as fill the answers of four callers; the rest stays for the next claims.
chosen as (
    select id from (
        select id, sum(bytes) over (order by priority desc, turn, created_at, id) - bytes as before from wanted
    ) w
    where before < 33554432
),
named as (
    select o.id
    from claim c
    cross join lateral (
        select o.id from work.work_orders o where o.namespace = c."orderNamespace" and o.name = c."orderName" limit 1
    ) o
),
-- The orders of requests that have been answered before.
replayed as (
    select (g.value ->> 'uid')::uuid as id from answered a cross join lateral json_array_elements(a.answer::json) as g (value)
)
select json_build_object('caller', json_build_object(
        'input', c.input, 'unschedulable', c.unschedulable, 'leaseSeconds', c.lease_seconds, 'total', c.total,
        'byType', c.by_type, 'held', c.held, 'served', c.served,
        'sets', coalesce((select json_agg(distinct r.target_set_id) from reach r where r.input = c.input), '[]'::json)))::text
from caller c
union all
select json_build_object('answered', json_build_object(
        'input', a.input, 'bodyHash', a.body_hash, 'grants', a.answer::json))::text
from answered a
union all
select json_build_object('order', json_build_object('state', s.state,
        'workType', o.work_type, 'priority', o.priority, 'turn', o.turn, 'createdAt', o.created_at, 'uid', o.id, 'namespace', o.namespace, 'name', o.name,
        'targetSet', o.target_set_id, 'lastAgent', o.last_agent, 'readySince', o.ready_since,
        'targeted', (select coalesce(json_agg(t.agent_name), '[]'::json) from work.target_set_agents t
            where t.target_set_id = o.target_set_id and t.agent_name = any (array(select agent from claim))),
        'otherIdle', o.last_agent is not null and exists (
            select from work.idle_agents i
            join work.target_set_agents t on t.target_set_id = o.target_set_id and t.agent_name = i.agent
            join work.agents a on a.namespace = '' and a.name = i.agent
            where i.limited_user is null and i.agent <> o.last_agent and not i.agent = any (o.excluded_agents) and not a.unschedulable
                and (a.work_types = '{}' or o.work_type = any (array_replace(a.work_types, 'shipwright-build', 'build'))))))::text
from work.work_orders o
cross join lateral (select s.state from work.order_states s where s.id = o.id limit 1) s
where o.id = any (array(select id from chosen union select id from named union select id from replayed))
