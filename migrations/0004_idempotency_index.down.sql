drop index work.work_order_keys_idempotency;
alter table work.work_order_keys
    add constraint work_order_keys_idempotency unique (namespace, namespace_uid, idempotency_key);
