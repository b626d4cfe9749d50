-- When an agent without claims was last heard of. One that holds claims is heard of by its leases.
create table work.agent_contacts (
    agent    text primary key,
    heard_at timestamptz not null
);
