-- Who could take the orders that wait: the ones that wait longest, and the newest.
with picked as materialized (
    (select o.id, o.namespace, o.name, o.target_set_id, o.work_type, o.ready_since
    from work.work_orders o where o.status = 'PENDING' and not o.suspended and o.ready_since is not null order by o.ready_since limit 100)
    union
    (select o.id, o.namespace, o.name, o.target_set_id, o.work_type, o.ready_since
    from work.work_orders o where o.status = 'PENDING' and not o.suspended and o.ready_since is not null order by o.ready_since desc limit 100)
),
held as materialized (
    select o.claimed_by as agent, o.work_type, count(*) as held
    from work.work_orders o where o.status = 'CLAIMED' group by o.claimed_by, o.work_type
),
agent as materialized (
    select a.name, a.unschedulable, a.concurrency::json -> 'byType' as by_type,
        array_replace(a.work_types, 'shipwright-build', 'build') as served,
        coalesce((a.concurrency::json ->> 'total')::integer, 5)
            - coalesce((select sum(h.held) from held h where h.agent = a.name), 0) as free
    from work.agents a where a.namespace = ''
),
kind as materialized (
    select p.target_set_id, p.work_type, count(a.name) as targeted,
        count(a.name) filter (where a.served = '{}' or p.work_type = any (a.served)) as serving,
        count(a.name) filter (where (a.served = '{}' or p.work_type = any (a.served)) and not a.unschedulable and a.free > 0
            and coalesce((a.by_type ->> p.work_type)::bigint > coalesce((
                select h.held from held h where h.agent = a.name and h.work_type = p.work_type), 0), true)) as free
    from (select distinct target_set_id, work_type from picked) p
    left join work.target_set_agents t on t.target_set_id = p.target_set_id
    left join agent a on a.name = t.agent_name
    group by p.target_set_id, p.work_type
)
select json_build_object('namespace', p.namespace, 'name', p.name, 'workType', p.work_type,
    'targeted', k.targeted, 'serving', k.serving, 'free', k.free,
    'waits', coalesce(extract(epoch from clock_timestamp() - p.ready_since)::bigint, 0))::text
from picked p
join kind k on k.target_set_id = p.target_set_id and k.work_type = p.work_type
