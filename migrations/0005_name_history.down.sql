drop index work.work_order_keys_name;
create index work_order_keys_name on work.work_order_keys (namespace, namespace_uid, order_name)
    where log_name is not null;
