-- The sets that no order has referred to for an hour, longest first: $1 sets at most, and no more than it takes to have
-- $2 members together.
with clock as materialized (
    select clock_timestamp() as now
),
old as materialized (
    select s.id, s.unused_since
    from work.target_sets s
    where s.unused_since < (select now from clock) - interval '1 hour'
    order by s.unused_since
    limit $1
)
select c.id
from (
    select s.id, sum(m.members) over (order by s.unused_since, s.id) - m.members as before
    from old s
    cross join lateral (
        select count(*) as members
        from (select from work.target_set_agents t where t.target_set_id = s.id limit $2) t
    ) m
    -- One that is in use again keeps nobody's place until that is noted.
    left join lateral (
        select true as used from work.work_orders o where o.target_set_id + 0 = s.id limit 1
    ) o on true
    where o.used is null
) c
where c.before < $2
