-- Whom to ask about: $1 limits how many orders are looked at, $2 how many agents for all of them; read without
-- the version lock.
--
-- Orders that became claimable within the last minute, alike in all that decides who may take them, with agents
-- for them that may claim in some namespaces only. As for unanswered rings, an agent that has asked since has
-- seen the order, and a ring less than a second old may still be answered: agents that may claim everywhere and
-- were rung so are taken off the orders here, limited ones come first and are asked about like the idle ones.
--
-- Of more agents than can be asked about, each look draws others by lot: those that may not claim stand in
-- nobody's way for long. The agents of each kind come longest idle first; who they are is told once.
with clock as materialized (
    select clock_timestamp() as now
),
limited as materialized (
    select i.agent, i.since, i.asked_at, i.rung_at is not null as rung
    from work.idle_agents i
    where i.limited_user is not null and (i.rung_at is null or i.rung_at > (select now from clock) - interval '1 second')
    order by i.rung_at is null, random()
    limit 2000
),
rung as materialized (
    select i.agent, i.asked_at
    from work.idle_agents i
    where i.limited_user is null and i.rung_at > (select now from clock) - interval '1 second'
),
ready as materialized (
    select o.namespace, o.target_set_id, o.work_type, o.excluded_agents, o.last_agent, count(*) as orders, max(o.ready_since) as ready_since,
        row_number() over () as kind, count(*) over () as kinds
    from (
        select * from work.work_orders o
        where o.status = 'PENDING' and not o.suspended
            and o.ready_since > (select now from clock) - interval '60 seconds'
            and exists (select from limited)
        order by o.ready_since
        limit $1
    ) o
    group by 1, 2, 3, 4, 5
),
candidate as materialized (
    select r.kind, r.namespace, r.orders - u.rung as orders, a.agent, a.since, a.rung
    from ready r
    cross join lateral (
        select count(*) as rung
        from rung i
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
    ) u
    cross join lateral (
        select i.agent, i.since, i.rung
        from limited i
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
        limit greatest($2 / r.kinds, 1)
    ) a
    where r.orders > u.rung
)
select row from (
    select json_build_object('kind', json_build_object('namespace', c.namespace, 'orders', c.orders,
        'agents', json_agg(json_build_object('name', c.agent, 'rung', c.rung) order by c.rung desc, c.since, c.agent)))::text as row
    from candidate c
    group by c.kind, c.namespace, c.orders
    order by random()
) k
union all
select json_build_object('user', json_build_object('agent', i.agent, 'user', i.limited_user))::text
from work.idle_agents i
where i.limited_user is not null and i.agent = any (array(select agent from candidate))
