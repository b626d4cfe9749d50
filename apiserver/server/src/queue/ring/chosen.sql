-- The agents that a review has chosen to be rung: $1 is an array of {agent}. Who has asked or been rung since
-- is left alone.
with chosen as materialized (
    select i.agent
    from work.idle_agents i
    where i.rung_at is null and i.agent = any (array(select agent from json_to_recordset($1::json) as x (agent text)))
)
select json_build_object('candidates', json_build_object('orders', count(*), 'agents', json_agg(c.agent)))::text
from chosen c
having count(*) > 0
union all
select json_build_object('agent', json_build_object('version', a.resource_version, 'object', a.object))::text
from work.agents a
where a.namespace = '' and a.name = any (array(select agent from chosen))
