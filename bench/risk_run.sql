-- One run of pgbench; a failed transaction of it makes the insert fail.
\set tps `pgbench -n -M prepared -c :clients -j :clients :span -D low=:low -D high=:high -f ":dir/:script" :DBNAME | sed -n 's/^tps = \([0-9.]*\).*/\1/p'`
INSERT INTO runs VALUES (:'part', :'what', :tps);
