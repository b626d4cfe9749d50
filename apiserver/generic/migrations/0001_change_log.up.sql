-- The versions, the change log and what is known of both. The schema itself is created by the migrator.

-- The last version drawn. It is read and set under the writer's advisory lock alone, with setval, so
-- that a version never repeats. Versions start above zero: an empty list has version 1.
create sequence apiserver.resource_version;
select setval('apiserver.resource_version', 1);

-- One row. epoch is in the bits of a version from 40 upwards; system_identifier and timeline are the
-- history that the epoch belongs to. Events at or below floor_rv may be gone.
create table apiserver.rv_meta (
    singleton boolean not null default true,
    epoch integer not null default 0,
    system_identifier text,
    timeline integer,
    floor_rv bigint not null default 1,
    floor_at timestamptz not null default clock_timestamp(),
    constraint rv_meta_pkey primary key (singleton),
    constraint rv_meta_singleton check (singleton),
    constraint rv_meta_epoch_range check (epoch >= 0 and epoch < 8192)
);
insert into apiserver.rv_meta default values;

-- The change log: one row for each object that a mutation touches, written in its transaction.
create table apiserver.watch_events (
    rv bigint not null,
    resource text not null,
    type text not null,
    namespace text not null,
    name text not null,
    uid uuid not null,
    object text not null,
    at timestamptz not null default clock_timestamp(),
    constraint watch_events_pkey primary key (rv),
    constraint watch_events_type check (type in ('ADDED', 'MODIFIED', 'DELETED'))
)
-- Rows are only inserted at one end and deleted at the other: vacuum by count, not by share.
with (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000
);

-- How far back the objects of an append-only resource reach: those at or below floor_rv may be gone.
create table apiserver.resource_floors (
    resource text not null,
    floor_rv bigint not null,
    constraint resource_floors_pkey primary key (resource)
);
