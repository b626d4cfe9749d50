-- Which agents to ring: $1 is the array of {uid} (an order that became claimable) and {agent} (a holder
-- whose claim is cancelled or lost).
--
-- Idle agents that may not claim everywhere are left to the sweeper (limited.sql).
--
-- An idle agent is rung once until it asks again. Orders that are alike are looked up together; one agent
-- more is read than there are orders, because the agent of the last attempt comes last. The limits keep
-- every step a look-up, whatever the planner thinks: most batches find nobody idle.
with input as materialized (
    select x.* from json_to_recordset($1::json) as x (uid uuid, agent text)
),
ready as materialized (
    select o.target_set_id, o.work_type, o.excluded_agents, o.last_agent, count(*) as orders
    from input i
    cross join lateral (
        select o.status, o.suspended, o.target_set_id, o.work_type, o.excluded_agents, o.last_agent
        from work.work_orders o where o.id = i.uid limit 1
    ) o
    where o.status = 'PENDING' and not o.suspended
    group by 1, 2, 3, 4
),
candidate as materialized (
    select r.orders, a.name, a.since, r.last_agent, dense_rank() over (order by r.target_set_id, r.work_type, r.excluded_agents, r.last_agent) as kind
    from ready r
    cross join lateral (
        select g.name, i.since
        from (
            select i.agent, i.since
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
        order by i.since
        limit (select sum(orders) + 1 from ready)
    ) a
)
select json_build_object('candidates', json_build_object('orders', c.orders,
        'agents', json_agg(c.name order by (c.name = c.last_agent) is true, c.since, c.name)))::text
from candidate c
group by c.kind, c.orders
union all
select json_build_object('agent', json_build_object('version', a.resource_version, 'object', a.object))::text
from work.agents a
where a.namespace = ''
    and a.name = any (array(select name from candidate union select agent from input where agent is not null))
