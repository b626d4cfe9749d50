-- What it takes to give new orders their set of target agents and their turn, whether anybody could be rung for
-- them, and which had a finished order of their name before them. $1 is the array of orders: {uid, namespace,
-- namespaceUid, name, keyed, hash}.
with input as materialized (
    select x.*
    from json_to_recordset($1::json) as x (
        uid uuid, namespace text, "namespaceUid" text, name text, keyed boolean, hash text)
),
known as materialized (
    select s.hash, s.id from work.target_sets s where s.hash = any (array(select hash from input))
)
select json_build_object('known', json_build_object('hash', hash, 'id', id))::text from known
union all
select json_build_object('agent', a.object)::text
from work.agents a
where a.namespace = '' and exists (select from input i where not exists (select from known k where k.hash = i.hash))
union all
select json_build_object('turn', json_build_object('namespace', t.namespace, 'last', t.last_turn))::text
from work.namespace_turns t
where t.namespace = any (array(select namespace from input))
union all
(select json_build_object('lowest', o.turn)::text
from work.work_orders o
where o.status = 'PENDING' and not o.suspended and o.turn is not null
order by o.turn
limit 1)
union all
-- The ring asks more exactly whom; most new orders find nobody idle.
(select json_build_object('idle', true)::text from work.idle_agents where rung_at is null and limited_user is null limit 1)
union all
-- Work with a key is done once; without one, as often as an order asks for it.
select json_build_object('earlier', json_build_object('uid', i.uid, 'entry', e.log_name))::text
from input i
cross join lateral (
    select k.log_name
    from work.work_order_keys k
    where k.namespace = i.namespace and k.namespace_uid = i."namespaceUid" and k.order_name = i.name and k.log_name is not null
    order by k.completed_at desc
    limit 1
) e
where not i.keyed
