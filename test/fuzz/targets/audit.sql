-- What the audit trail hashes and shows of rows
-- flags: -max_len=500
SELECT length(fx.audit_row_hash(NULL, NULL, t, t, NULL, j, NULL, ARRAY[t, NULL], NULL, t, NULL, NULL, now(), NULL)) = 32 AS hash,
       fx.audit_row_hash(NULL, NULL, t, NULL, NULL, j, NULL, NULL, NULL, NULL, NULL, NULL, now(), NULL)
           <> fx.audit_row_hash(NULL, NULL, NULL, t, NULL, j, NULL, NULL, NULL, NULL, NULL, NULL, now(), NULL) AS place_matters,
       fx.account_currency(o) IS NOT NULL AND fx.account_initial_balance(o) >= 0 AS preferences
  FROM (SELECT encode($1, 'escape') AS t, fuzz.json($1, '{accountCurrency,initialBalance,a,b}') AS j OFFSET 0) AS s
 CROSS JOIN LATERAL (SELECT coalesce(j -> 0, '{}') AS o) AS p
