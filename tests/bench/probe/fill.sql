truncate orders, events, log;
insert into orders (object) select repeat('0123456789abcdef', 64) from generate_series(1, :orders);
vacuum analyze orders;
