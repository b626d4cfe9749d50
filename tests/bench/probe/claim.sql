begin;
with claimed as (
    update orders set status = 'CLAIMED', claimed_by = :client_id, version = nextval('versions')
    where id = any (array(select id from orders where status = 'PENDING'
        order by priority desc, created_at, id limit :batch for update skip locked))
    returning version, namespace, name, object)
insert into events (version, type, namespace, name, object)
    select version, 'MODIFIED', namespace, name, object from claimed;
commit;
begin;
with completed as (
    delete from orders where claimed_by = :client_id and status = 'CLAIMED'
    returning id, namespace, name, object),
logged as (insert into log (id, namespace, name, object) select id, namespace, name, object from completed)
insert into events (version, type, namespace, name, object)
    select nextval('versions'), 'DELETED', namespace, name, object from completed;
commit;
