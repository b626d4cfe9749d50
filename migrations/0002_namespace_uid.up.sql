-- Entries of the log and idempotency keys belong to a namespace by its uid, not by its name alone: what is
-- left of a namespace that is gone is not seen in a later one of the same name, and its keys are free there.
--
-- Rows written before have no uid, nor do the orders that are live now: their entries, written or to come, are
-- seen in lists of all namespaces only, and their idempotency keys are void. A server of the version before
-- writes such rows still, so that the two must not run together: stop the one, then start the other. What would
-- tell the namespace of an old row is not in this database; and nothing has been released that wrote any.
alter table work.work_order_log add column namespace_uid text not null default '';
-- The index on (namespace, resource_version) serves nothing any more; a later version drops it.
create index work_order_log_namespace_uid_version
    on work.work_order_log (namespace, namespace_uid, resource_version);

alter table work.work_order_keys add column namespace_uid text not null default '';
alter table work.work_order_keys drop constraint work_order_keys_idempotency;
alter table work.work_order_keys
    add constraint work_order_keys_idempotency unique (namespace, namespace_uid, idempotency_key);
-- All that the look-up of a name compares: on a table without statistics the planner would else take the
-- index above, and read every key of the namespace for each create.
drop index work.work_order_keys_name;
create index work_order_keys_name on work.work_order_keys (namespace, namespace_uid, order_name)
    where log_name is not null;

-- When any agent was last heard of that held nothing: with the renewals of those that do, it tells whether
-- agents can reach us at all.
alter table work.queue_state add column heard_at timestamptz not null default clock_timestamp();
