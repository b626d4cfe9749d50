alter table work.queue_state drop column heard_at;

alter table work.work_order_keys drop constraint work_order_keys_idempotency;
-- Of keys that two namespaces of one name have used, the order that came last keeps it.
update work.work_order_keys k set idempotency_key = null
where exists (
    select from work.work_order_keys later
    where later.namespace = k.namespace and later.idempotency_key = k.idempotency_key
        and (later.completed_at is null, later.completed_at, later.order_uid)
            > (k.completed_at is null, k.completed_at, k.order_uid));
alter table work.work_order_keys add constraint work_order_keys_idempotency unique (namespace, idempotency_key);
drop index work.work_order_keys_name;
create index work_order_keys_name on work.work_order_keys (namespace, order_name);
alter table work.work_order_keys drop column namespace_uid;

drop index work.work_order_log_namespace_uid_version;
alter table work.work_order_log drop column namespace_uid;
