-- Which agents to ring because an earlier ring was not answered: $1 is an array of empty inputs.
--
-- Orders that became claimable between one and sixty seconds ago; who polls finds older ones. An agent
-- that has asked since has seen the order and could not take it, but for the preference of other agents
-- on a retry, which ends after five seconds.
-- The clock is read once: a condition on a volatile function uses no index.
with clock as materialized (
    select clock_timestamp() as now
),
ready as materialized (
    select o.target_set_id, o.work_type, o.excluded_agents, o.last_agent, count(*) as orders, max(o.ready_since) as ready_since
    from (
        select * from work.work_orders o
        where o.status = 'PENDING' and not o.suspended
            and o.ready_since between (select now from clock) - interval '60 seconds' and (select now from clock) - interval '1 second'
        order by o.ready_since
        limit 500
    ) o
    group by 1, 2, 3, 4
),
candidate as materialized (
    select r.orders, a.name, a.since, dense_rank() over (order by r.target_set_id, r.work_type, r.excluded_agents, r.last_agent) as kind
    from ready r
    cross join lateral (
        select g.name, i.since
        from (
            select i.agent, i.since, i.asked_at
            from work.idle_agents i where i.rung_at is null and i.limited_user is null order by i.since limit 2000
        ) i
        cross join lateral (
            select from work.target_set_agents t where t.target_set_id = r.target_set_id and t.agent_name = i.agent limit 1
        ) t
        cross join lateral (
            select a.name, a.unschedulable, a.work_types from work.agents a where a.namespace = '' and a.name = i.agent limit 1
        ) g
        where not g.unschedulable and not i.agent = any (r.excluded_agents)
            and (g.work_types = '{}' or r.work_type = any (array_replace(g.work_types, 'shipwright-build', 'build')))
            and i.asked_at < r.ready_since + case when r.last_agent = i.agent then interval '5 seconds' else interval '0' end
            and (r.last_agent is distinct from i.agent or r.ready_since < (select now from clock) - interval '5 seconds')
        order by i.since
        -- A ring less than a second old may still be answered, by an agent that would be rung for this.
        limit (
            select greatest(r.orders - count(*), 0)
            from work.idle_agents i
            join work.target_set_agents t on t.target_set_id = r.target_set_id and t.agent_name = i.agent
            join work.agents g on g.namespace = '' and g.name = i.agent
            where i.rung_at > (select now from clock) - interval '1 second' and i.limited_user is null
                and not g.unschedulable and not i.agent = any (r.excluded_agents)
                and (g.work_types = '{}' or r.work_type = any (array_replace(g.work_types, 'shipwright-build', 'build')))
                and i.asked_at < r.ready_since + case when r.last_agent = i.agent then interval '5 seconds' else interval '0' end
                and (r.last_agent is distinct from i.agent or r.ready_since < (select now from clock) - interval '5 seconds'))
    ) a
)
select json_build_object('candidates', json_build_object('orders', c.orders, 'agents', json_agg(c.name order by c.since, c.name)))::text
from candidate c
group by c.kind, c.orders
union all
select json_build_object('agent', json_build_object('version', a.resource_version, 'object', a.object))::text
from work.agents a
where a.namespace = '' and a.name = any (array(select name from candidate))
