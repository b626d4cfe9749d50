drop index work.work_orders_target_set;
alter table work.work_orders
    add constraint work_orders_target_set_id_fkey foreign key (target_set_id) references work.target_sets (id);
drop index work.target_sets_unused_since;
alter table work.target_sets drop column unused_since;
