-- What it takes to give orders that are back in the queue their turn, and to match changed agents.
-- $1 is the array of inputs: {uid, namespace} for an order, {agent} for an agent that came, changed its labels or
-- annotations, or went.
with input as materialized (
    select x.* from json_to_recordset($1::json) as x (uid uuid, namespace text, agent text)
)
select json_build_object('agent', a.object)::text
from work.agents a
where a.namespace = '' and a.name = any (array(select agent from input where agent is not null))
union all
select json_build_object('set', json_build_object('hash', s.hash, 'terms', s.terms::json))::text
from work.target_sets s
where exists (select from input where agent is not null)
union all
select json_build_object('turn', json_build_object('namespace', t.namespace, 'last', t.last_turn))::text
from work.namespace_turns t
where t.namespace = any (array(select namespace from input where uid is not null))
union all
-- The orders of the input may still carry the turn of an earlier wait.
(select json_build_object('lowest', o.turn)::text
from work.work_orders o
where o.status = 'PENDING' and not o.suspended and o.turn is not null
    and not o.id = any (array(select uid from input where uid is not null))
order by o.turn
limit 1)
