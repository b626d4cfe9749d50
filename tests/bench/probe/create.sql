begin;
insert into orders (object) values (repeat('0123456789abcdef', 64)) returning version, name \gset
insert into events (version, type, namespace, name, object)
    values (:version, 'ADDED', 'brokkr-bench', :name, repeat('0123456789abcdef', 64));
commit;
