-- The orders that the agent $1 could claim now, in the claim order; $2 = the namespaces, null = all;
-- $3 = those that are being deleted.
-- Whether the agent has room for them is not asked.
select o.object
from work.agents a
join work.target_set_agents t on t.agent_name = a.name
cross join lateral (
    select * from work.work_orders o
    where o.target_set_id = t.target_set_id and o.status = 'PENDING' and not o.suspended and not o.selective
    union all
    select * from work.work_orders o
    where o.target_set_id = t.target_set_id and o.status = 'PENDING' and not o.suspended and o.selective
) o
where a.namespace = '' and a.name = $1 and not a.unschedulable
    and not a.name = any (o.excluded_agents)
    and (a.work_types = '{}' or o.work_type = any (array_replace(a.work_types, 'shipwright-build', 'build')))
    and ($2::text[] is null or o.namespace = any ($2)) and not o.namespace = any ($3)
order by o.priority desc, o.turn, o.created_at, o.id
limit 100
