-- Whom to ask about: $1 limits how many orders are looked at; read without the version lock.
--
-- Orders that became claimable within the last minute, alike in all that decides who may take them, and the
-- idle agents for them that may claim in some namespaces only, longest idle first. As for unanswered rings,
-- an agent that has asked since has seen the order.
with clock as materialized (
    select clock_timestamp() as now
),
limited as materialized (
    select i.agent, i.since, i.asked_at, i.limited_user
    from work.idle_agents i where i.rung_at is null and i.limited_user is not null order by i.since limit 2000
),
ready as materialized (
    select o.namespace, o.target_set_id, o.work_type, o.excluded_agents, o.last_agent, count(*) as orders, max(o.ready_since) as ready_since
    from (
        select * from work.work_orders o
        where o.status = 'PENDING' and not o.suspended
            and o.ready_since > (select now from clock) - interval '60 seconds'
            and exists (select from limited)
        order by o.ready_since
        limit $1
    ) o
    group by 1, 2, 3, 4, 5
)
select json_build_object('namespace', r.namespace, 'orders', r.orders,
    'agents', json_agg(json_build_object('name', i.agent, 'user', i.limited_user::json) order by i.since, i.agent))::text
from ready r
cross join limited i
cross join lateral (
    select from work.target_set_agents t where t.target_set_id = r.target_set_id and t.agent_name = i.agent limit 1
) t
cross join lateral (
    select a.unschedulable, a.work_types from work.agents a where a.namespace = '' and a.name = i.agent limit 1
) g
where not g.unschedulable and not i.agent = any (r.excluded_agents)
    and (g.work_types = '{}' or r.work_type = any (array_replace(g.work_types, 'shipwright-build', 'build')))
    and i.asked_at < r.ready_since + case when r.last_agent = i.agent then interval '5 seconds' else interval '0' end
    and (r.last_agent is distinct from i.agent or r.ready_since < (select now from clock) - interval '5 seconds')
group by r.namespace, r.orders, r.target_set_id, r.work_type, r.excluded_agents, r.last_agent
