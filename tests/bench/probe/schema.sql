-- The probe: what the same work costs when a program writes it straight into PostgreSQL, without API, order of
-- changes or watch. An order with four indexes, an event beside it, versions from a sequence that nobody waits for.
drop table if exists orders, events, log;
drop sequence if exists versions;

create sequence versions;
create table orders (
    id         uuid primary key default gen_random_uuid(),
    version    bigint not null default nextval('versions'),
    namespace  text not null default 'brokkr-bench',
    name       text not null default 'order-' || gen_random_uuid(),
    status     text not null default 'PENDING',
    priority   integer not null default 0,
    created_at timestamptz not null default clock_timestamp(),
    claimed_by integer,
    object     text not null,
    constraint orders_key unique (namespace, name)
);
create index orders_ready on orders (priority desc, created_at, id) where status = 'PENDING';
create index orders_claimed on orders (claimed_by) where status = 'CLAIMED';

create table events (
    version    bigint primary key,
    type       text not null,
    namespace  text not null,
    name       text not null,
    object     text not null,
    at         timestamptz not null default clock_timestamp()
);

create table log (
    id           uuid primary key,
    namespace    text not null,
    name         text not null,
    completed_at timestamptz not null default clock_timestamp(),
    object       text not null
);
create index log_completed on log (completed_at);
