-- Who may do what: the same before and after
SELECT 'member', r.rolname, m.rolname, admin_option::text FROM pg_auth_members a JOIN pg_roles r ON r.oid = roleid JOIN pg_roles m ON m.oid = member
UNION ALL SELECT 'role', rolname, concat_ws(',', rolsuper, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolinherit), rolconfig::text FROM pg_roles
UNION ALL SELECT 'function', p.oid::regprocedure::text, proacl::text, concat_ws(',', proowner::regrole, prosecdef, proconfig) FROM pg_proc p WHERE pronamespace IN ('fx'::regnamespace, 'fuzz_look'::regnamespace)
UNION ALL SELECT 'relation', c.oid::regclass::text, relacl::text, concat_ws(',', relowner::regrole, relrowsecurity, relforcerowsecurity) FROM pg_class c
           WHERE relnamespace IN ('fx'::regnamespace, 'fuzz'::regnamespace) AND relkind IN ('r', 'p', 'v', 'S') AND NOT relispartition
UNION ALL SELECT 'partition with rights', c.oid::regclass::text, relacl::text, '' FROM pg_class c WHERE relnamespace = 'fx'::regnamespace AND relispartition AND relacl IS NOT NULL
UNION ALL SELECT 'policy', polrelid::regclass || '.' || polname, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) FROM pg_policy
UNION ALL SELECT 'schema', nspname, nspacl::text, nspowner::regrole::text FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
UNION ALL SELECT 'trigger', tgrelid::regclass || '.' || tgname, tgenabled::text, tgfoid::regproc::text FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal AND relnamespace = 'fx'::regnamespace AND NOT relispartition
ORDER BY 1, 2, 3, 4;
