-- Everything of the first migration; orders and log are lost.
drop schema work cascade;
