-- Notes of the next sets since when no order has referred to them: $1 is the set after which, $2 how many at most. Gives
-- the set after which the next look goes on; nothing when this one has come to the end.
with looked as materialized (
    select s.id, s.unused_since is not null as noted, o.used is null as unused
    from work.target_sets s
    -- The limit keeps this a look-up per set.
    left join lateral (
        select true as used from work.work_orders o where o.target_set_id + 0 = s.id limit 1
    ) o on true
    where s.id > $1
    order by s.id
    limit $2
),
-- Nobody is made to wait for a row that is being removed, or noted by another replica.
begins as materialized (
    select s.id
    from work.target_sets s
    where s.id = any (array(select id from looked where unused and not noted)) and s.unused_since is null
    order by s.id
    for no key update skip locked
),
ends as materialized (
    select s.id
    from work.target_sets s
    where s.id = any (array(select id from looked where noted and not unused)) and s.unused_since is not null
    order by s.id
    for no key update skip locked
),
begun as (
    update work.target_sets s set unused_since = clock_timestamp() where s.id = any (array(select id from begins))
),
ended as (
    update work.target_sets s set unused_since = null where s.id = any (array(select id from ends))
)
select case when count(*) = $2 then max(id) end from looked
