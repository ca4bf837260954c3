-- As fx_user: rows that are not his, of every table that has a user
SELECT format('SELECT %L, count(*) FROM fx.%I WHERE user_id IS DISTINCT FROM %L::uuid%s HAVING count(*) > 0', table_name, table_name, :'own_id',
              CASE WHEN table_name = 'strategies' THEN ' AND NOT is_public' ELSE '' END)
  FROM information_schema.columns WHERE table_schema = 'fx' AND column_name = 'user_id' ORDER BY 1 \gexec
