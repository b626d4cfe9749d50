-- What a report of a holder is decided on: $1 is the array of {uid, fence}.
-- The order as it is, if it still exists, and the attempt that ended with the fence, if one did.
with input as materialized (
    select x.* from json_to_recordset($1::json) as x (uid uuid, fence bigint)
)
select json_build_object('order', s.state)::text
from work.order_states s
where s.id = any (array(select uid from input))
union all
select json_build_object('ended', json_build_object(
        'uid', a.order_uid, 'fence', a.fence, 'attempt', a.object::json, 'answer', a.answer::json))::text
from work.attempts a
where a.order_uid = any (array(select uid from input)) and a.ended_at is not null
    and exists (select from input i where i.uid = a.order_uid and i.fence = a.fence)
