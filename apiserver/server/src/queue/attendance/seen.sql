-- When each agent was last in touch, and what it holds. A lease says when it was last renewed; who holds nothing
-- renews too, and waits for work unless it is full, unschedulable or disabled.
select json_build_object('agent', a.name, 'leaseSeconds', a.lease_seconds, 'now', clock_timestamp(),
    'lastContact', greatest(
        (select max(l.expires_at - make_interval(secs => l.lease_seconds)) from work.work_leases l where l.agent = a.name),
        (select c.heard_at from work.agent_contacts c where c.agent = a.name),
        (select i.asked_at from work.idle_agents i where i.agent = a.name)),
    'held', coalesce((
        select json_object_agg(h.work_type, h.held) from (
            select o.work_type, count(*) as held
            from work.work_orders o
            where o.status = 'CLAIMED' and o.claimed_by = a.name
            group by o.work_type) as h), '{}'::json))::text
from work.agents a
where a.namespace = ''
