-- The last finished order of a name is looked up under the version lock: the index gives it first, however many there
-- have been.
drop index work.work_order_keys_name;
create index work_order_keys_name on work.work_order_keys (namespace, namespace_uid, order_name, completed_at)
    where log_name is not null;
