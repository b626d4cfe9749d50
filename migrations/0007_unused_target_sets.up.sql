-- Sets of target terms that no order refers to are removed once they have been so for a while (ADR 0014).
--
-- Since when no order has referred to the set, as far as a look has found; null = one does.
alter table work.target_sets add column unused_since timestamptz;
create index target_sets_unused_since on work.target_sets (unused_since) where unused_since is not null;
-- A removal asks itself, under the version lock, whether any order refers to the set. The constraint would ask the
-- same of an index on the column alone, and that one offers itself for claims: they would read and sort all orders of
-- a set. In this form the index answers questions about a set alone.
alter table work.work_orders drop constraint work_orders_target_set_id_fkey;
create index work_orders_target_set on work.work_orders ((target_set_id + 0));
