alter table work.idle_agents drop column limited_user;
