-- Removes sets that no order refers to, with their members: $1 is an array of {sets}, what was found without the lock.
-- What has been written under the lock before is seen here, orders of the same batch included.
with unused as materialized (
    select s.id
    from work.target_sets s
    left join lateral (
        select true as used from work.work_orders o where o.target_set_id + 0 = s.id limit 1
    ) o on true
    where s.id = any (array(select unnest(x.sets) from json_to_recordset($1::json) as x (sets bigint[])))
        and o.used is null
    order by s.id
    -- A row that is locked is being noted, for which the writer does not wait.
    for update of s skip locked
),
removed as (
    delete from work.target_sets s where s.id = any (array(select id from unused)) returning s.id
)
select json_build_object('set', r.id)::text from removed r
