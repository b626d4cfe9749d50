drop table apiserver.resource_floors;
drop table apiserver.watch_events;
drop table apiserver.rv_meta;
drop sequence apiserver.resource_version;
