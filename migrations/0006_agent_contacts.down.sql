drop table work.agent_contacts;
