-- In how many seconds something falls due; nothing = nothing will.
select extract(epoch from least(
    (select min(expires_at) from work.work_leases where not lapsed),
    (select min(cancel_deadline) from work.work_orders where cancelling),
    (select min(active_deadline) from work.work_orders
        where status in ('PENDING', 'CLAIMED', 'RETRY_PENDING') and not cancelling),
    (select min(attempt_deadline) from work.work_orders where status = 'CLAIMED' and not cancelling),
    (select min(next_retry_after) from work.work_orders where status = 'RETRY_PENDING'),
    (select min(expires_at) from work.work_orders where expires_at is not null)
) - clock_timestamp())::float8
