-- Which agents to ring: $1 is the array of {uid} (an order that became claimable) and {agent} (a holder
-- whose claim is cancelled or lost).
--
-- An idle agent is rung once until it asks again. Orders that are alike are looked up together; one agent
-- more is read than there are orders, because the agent of the last attempt comes last.
with input as materialized (
    select x.* from json_to_recordset($1::json) as x (uid uuid, agent text)
),
ready as materialized (
    select o.target_set_id, o.work_type, o.excluded_agents, o.last_agent, count(*) as orders
    from input i
    join work.work_orders o on o.id = i.uid
    where o.status = 'PENDING' and not o.suspended
    group by 1, 2, 3, 4
),
candidate as materialized (
    select r.orders, a.name, a.since, r.last_agent, dense_rank() over (order by r.target_set_id, r.work_type, r.excluded_agents, r.last_agent) as kind
    from ready r
    cross join lateral (
        select g.name, i.since
        from work.idle_agents i
        join work.target_set_agents t on t.target_set_id = r.target_set_id and t.agent_name = i.agent
        join work.agents g on g.namespace = '' and g.name = i.agent
        where i.rung_at is null and not g.unschedulable and not i.agent = any (r.excluded_agents)
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
