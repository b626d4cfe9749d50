-- The uniqueness of idempotency keys, in a form that answers questions about a key alone. As an index of the
-- columns it also offered itself for the look-up of a name, and a plan made while the table was small went on
-- reading every key of the namespace for each create.
alter table work.work_order_keys drop constraint work_order_keys_idempotency;
create unique index work_order_keys_idempotency
    on work.work_order_keys ((namespace || '/' || namespace_uid || '/' || idempotency_key));
