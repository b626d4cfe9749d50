-- Orders, their log, agents and the queue of work.brokkr.io.
--
-- Object tables carry the standard columns of the library (namespace, name, uid, resource_version,
-- object) and columns of their own that the library writes from the object in the same statement.
-- Columns marked "queue" are written by side statements of the mutations, never from the object.

create schema if not exists work;

-- One row per distinct set of target terms. Terms are matched once per agent and set, not per order.
create table work.target_sets (
    id     bigint generated always as identity primary key,
    hash   text not null,
    terms  text not null,
    constraint target_sets_hash unique (hash)
);

create table work.target_set_agents (
    target_set_id bigint not null references work.target_sets (id) on delete cascade,
    agent_name    text not null,
    primary key (target_set_id, agent_name)
);
create index target_set_agents_agent on work.target_set_agents (agent_name, target_set_id);

-- Live and recently finished orders. A finished one stays until its TTL.
create table work.work_orders (
    namespace             text not null,
    name                  text not null,
    uid                   uuid not null,
    resource_version      bigint not null,
    object                text not null,

    id                    uuid generated always as (uid) stored primary key,
    created_at            timestamptz not null,
    updated_at            timestamptz not null default clock_timestamp(),
    work_type             varchar(50) not null,
    -- The manifests as submitted, one JSON document per line; JSON is YAML.
    yaml_content          text not null,
    -- PENDING, CLAIMED, RETRY_PENDING; finished: SUCCEEDED, FAILED, CANCELLED.
    status                varchar(20) not null,
    claimed_by            text,
    claimed_at            timestamptz,
    claim_timeout_seconds integer not null,
    max_retries           integer not null,
    retry_count           integer not null,
    backoff_seconds       integer not null,
    next_retry_after      timestamptz,
    priority              integer not null,
    suspended             boolean not null,
    lost_attempts         integer not null,
    -- The version at which the present claim was granted.
    fence                 bigint,
    -- The holder's lease ended, but the work may still run (NonIdempotent).
    lapsed                boolean not null,
    -- When the present attempt ends at the latest.
    attempt_deadline      timestamptz,
    -- When the whole order ends at the latest.
    active_deadline       timestamptz,
    -- When a finished order goes.
    expires_at            timestamptz,
    cancelling            boolean not null,

    -- queue: which agents may take it, and when its namespace is served.
    target_set_id         bigint references work.target_sets (id),
    turn                  bigint,
    -- queue: when a cancellation is no longer waited for.
    cancel_deadline       timestamptz,
    -- queue: agents that a failure of scope Agent has excluded.
    excluded_agents       text[] not null default '{}',
    -- queue: the agent of the last attempt; another one is preferred.
    last_agent            text,
    -- queue: since when it could have been claimed, for rings that nobody answers.
    ready_since           timestamptz,
    -- Whether the targeted agents are not all alike to it: such rows are looked up per agent.
    selective             boolean not null generated always as (excluded_agents <> '{}' or last_agent is not null) stored,

    constraint work_orders_key unique (namespace, name),
    constraint work_orders_retries check (retry_count >= 0 and lost_attempts >= 0),
    constraint work_orders_claimed check (status <> 'CLAIMED' or (claimed_by is not null and fence is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0);

-- The claim order, for unfinished and claimable rows only. Two indexes, so that a claim that many
-- agents share never steps over rows that some of them may not take.
create index work_orders_ready on work.work_orders
    (target_set_id, work_type, priority desc, turn, created_at, id)
    where status = 'PENDING' and not suspended and not selective;
create index work_orders_ready_selective on work.work_orders
    (target_set_id, work_type, priority desc, turn, created_at, id)
    where status = 'PENDING' and not suspended and selective;
-- The lowest waiting turn. Its predicate, and the one below, say more than other statements ask for, so that no
-- plan made on empty tables mistakes them for the index of the claim order.
create index work_orders_turn on work.work_orders (turn) where status = 'PENDING' and not suspended and turn is not null;
-- Orders whose ring nobody has answered.
create index work_orders_ready_since on work.work_orders (ready_since)
    where status = 'PENDING' and not suspended and ready_since is not null;
create index work_orders_retry on work.work_orders (next_retry_after) where status = 'RETRY_PENDING';
create index work_orders_claimed_by on work.work_orders (claimed_by, id) where status = 'CLAIMED';
create index work_orders_attempt_deadline on work.work_orders (attempt_deadline)
    where status = 'CLAIMED' and not cancelling;
create index work_orders_active_deadline on work.work_orders (active_deadline)
    where status in ('PENDING', 'CLAIMED', 'RETRY_PENDING') and not cancelling;
create index work_orders_cancel_deadline on work.work_orders (cancel_deadline) where cancelling;
create index work_orders_expires on work.work_orders (expires_at) where expires_at is not null;

-- Which agents an order is for: the origin's table, as a view over the term sets.
create view work.work_order_targets as
    select o.id as work_order_id, a.agent_name as agent_id
    from work.work_orders o
    join work.target_set_agents a on a.target_set_id = o.target_set_id;

-- The turn each namespace was last given. Rows are changed under the version lock only.
create table work.namespace_turns (
    namespace text primary key,
    last_turn bigint not null
);

-- One row per claim that is held. Renewals write here alone; their row lock decides against expiry.
create table work.work_leases (
    order_uid     uuid primary key,
    fence         bigint not null,
    agent         text not null,
    holder        text not null,
    attempt       integer not null,
    lease_seconds integer not null,
    expires_at    timestamptz not null,
    -- Whether the claim outlives its lease because the work must not run twice (NonIdempotent).
    keeps         boolean not null,
    -- The lease has run out and the claim was kept; a renewal revives it.
    lapsed        boolean not null default false,
    -- When progress was last written into the object.
    progress_at   timestamptz
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0);
create index work_leases_expires on work.work_leases (expires_at) where not lapsed;
create index work_leases_agent on work.work_leases (agent);

-- Every attempt of every order, kept as long as its order or log entry.
create table work.attempts (
    order_uid             uuid not null,
    attempt               integer not null,
    agent                 text not null,
    holder                text not null,
    fence                 bigint not null,
    claimed_at            timestamptz not null,
    ended_at              timestamptz,
    outcome               text,
    -- The whole attempt as it is shown in the log entry.
    object                text not null,
    -- The answer to the report that ended it, given again when the report is repeated.
    answer                text,
    primary key (order_uid, attempt)
);

-- Reports that came with a spent fence: kept as evidence, without effect.
create table work.late_reports (
    order_uid   uuid not null,
    fence       bigint not null,
    received_at timestamptz not null,
    user_name   text not null,
    report      text not null,
    -- A report that is repeated is one report.
    primary key (order_uid, fence)
);

-- Answers to claims by request id, replayed for ten minutes.
create table work.claim_requests (
    agent       text not null,
    request_id  text not null,
    body_hash   text not null,
    answer      text not null,
    answered_at timestamptz not null,
    primary key (agent, request_id)
);
create index claim_requests_answered on work.claim_requests (answered_at);

-- One row per order that is live or in the log: makes uid and idempotency key unique.
create table work.work_order_keys (
    order_uid       uuid primary key,
    namespace       text not null,
    order_name      text not null,
    idempotency_key text,
    spec_hash       text not null,
    -- Set with the log entry.
    log_name        text,
    completed_at    timestamptz,
    constraint work_order_keys_idempotency unique (namespace, idempotency_key)
);
create index work_order_keys_name on work.work_order_keys (namespace, order_name);

-- The log. Append-only; retention drops partitions.
create table work.work_order_log (
    namespace         text not null,
    name              text not null,
    uid               uuid not null,
    resource_version  bigint not null,
    object            text not null,

    id                uuid not null,
    work_type         varchar(50) not null,
    created_at        timestamptz not null,
    claimed_at        timestamptz,
    completed_at      timestamptz not null,
    claimed_by        text,
    success           boolean not null,
    retries_attempted integer not null,
    result_message    text,
    yaml_content      text not null,
    outcome           text not null,
    class             text,
    reason            text,
    order_name        text not null
) partition by range (completed_at);
create index work_order_log_key on work.work_order_log (namespace, name);
create index work_order_log_version on work.work_order_log (resource_version);
create index work_order_log_namespace_version on work.work_order_log (namespace, resource_version);
create index work_order_log_type on work.work_order_log (work_type, resource_version);
create index work_order_log_success on work.work_order_log (success, resource_version);
create index work_order_log_agent on work.work_order_log (claimed_by, resource_version);
create index work_order_log_id on work.work_order_log (id);
create index work_order_log_completed on work.work_order_log (completed_at);

-- Creates the partitions of this month and the two after it. Called at start and daily, outside the
-- version lock; the default partition only catches a clock far off.
create function work.ensure_log_partitions() returns void language plpgsql as $$
declare
    first date;
begin
    for ahead in 0..2 loop
        first := (date_trunc('month', clock_timestamp() at time zone 'utc') + make_interval(months => ahead))::date;
        execute format(
            'create table if not exists work.work_order_log_%s partition of work.work_order_log for values from (%L) to (%L)',
            to_char(first, 'YYYYMM'), first || ' 00:00:00+00', (first + interval '1 month')::date || ' 00:00:00+00');
    end loop;
end
$$;
create table work.work_order_log_default partition of work.work_order_log default;
select work.ensure_log_partitions();

create table work.agents (
    namespace        text not null,
    name             text not null,
    uid              uuid not null primary key,
    resource_version bigint not null,
    object           text not null,

    identity         text not null,
    unschedulable    boolean not null,
    lease_seconds    integer not null,
    work_types       text[] not null,
    -- Work types as matched, with the concurrency of each: {"total": 5, "byType": {}}.
    concurrency      text not null,

    constraint agents_key unique (namespace, name),
    constraint agents_identity unique (identity)
);

-- Agents that have asked for more than they got, longest idle first.
create table work.idle_agents (
    agent    text primary key,
    -- Since when it is idle; begins anew when a ring brought it nothing.
    since    timestamptz not null,
    -- When it last asked.
    asked_at timestamptz not null,
    -- When it was rung; null again as soon as it asks.
    rung_at  timestamptz
);
create index idle_agents_since on work.idle_agents (since) where rung_at is null;

-- An order as the mutations of the queue read it: the object and what only the queue's rows know.
create view work.order_states as
    select o.id, json_build_object(
        'version', o.resource_version,
        'object', o.object,
        'nextRetryAfter', o.next_retry_after,
        'cancelDeadline', o.cancel_deadline,
        'excluded', o.excluded_agents,
        'anotherAgent', exists (
            select from work.target_set_agents t
            join work.agents a on a.namespace = '' and a.name = t.agent_name
            where t.target_set_id = o.target_set_id and t.agent_name <> coalesce(o.claimed_by, '')
                and not t.agent_name = any (o.excluded_agents)
                and (a.work_types = '{}' or o.work_type = any (array_replace(a.work_types, 'shipwright-build', 'build')))),
        'lease', (
            select json_build_object('agent', l.agent, 'holder', l.holder, 'fence', l.fence, 'attempt', l.attempt,
                'expiresAt', l.expires_at, 'lapsed', l.lapsed)
            from work.work_leases l where l.order_uid = o.id),
        'attempts', (
            select coalesce(json_agg(t.object::json order by t.attempt), '[]'::json)
            from work.attempts t where t.order_uid = o.id)) as state
    from work.work_orders o;

-- When the queue was last served, and when all leases were last given their full length: what tells an
-- outage of ours from the death of a holder. `expires_at` less the lease's length is when a lease was last
-- renewed, so that renewals need no row of their own here.
create table work.queue_state (
    singleton    boolean primary key default true check (singleton),
    served_at    timestamptz not null,
    extended_at  timestamptz not null
);
insert into work.queue_state (served_at, extended_at) values (clock_timestamp(), clock_timestamp());
