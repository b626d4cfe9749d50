-- Who asked, as JSON, when that user may claim in some namespaces only; null = everywhere, which is also what
-- servers of the version before take all agents for.
alter table work.idle_agents add column limited_user text;
