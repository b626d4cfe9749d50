create schema wardle;

create table wardle.flunders (
    namespace text not null,
    name text not null,
    uid uuid not null unique,
    resource_version bigint not null,
    object text not null,
    -- key=value of every label: what a bump finds its flunders by.
    labels text[] not null,
    primary key (namespace, name)
);

create index flunders_labels on wardle.flunders using gin (labels);

create table wardle.fischers (
    namespace text not null,
    name text not null,
    uid uuid not null unique,
    resource_version bigint not null,
    object text not null,
    primary key (namespace, name)
);
