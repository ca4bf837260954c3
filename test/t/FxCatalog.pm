package FxCatalog;

# What the catalogs say of the extension and of schema fx, one line an object,
# without what differs from one database to the next: OIDs and file numbers.
# Rows of the catalogs are taken whole, so that columns of later majors are
# compared too.

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(catalog catalog_difference);

# Rights as they work: NULL is what the kind of object has by default.
my $rights = q{
CREATE FUNCTION pg_temp.rights(acl aclitem[], kind "char", owner oid) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(r, ',' ORDER BY r COLLATE "C")
	  FROM aclexplode(coalesce(acl, acldefault(kind, owner))) a,
	       format('%s=%s%s by %s', a.grantee::regrole, a.privilege_type, CASE WHEN a.is_grantable THEN '*' END, a.grantor::regrole) r
$$;
CREATE FUNCTION pg_temp.names(oids oid[]) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format_type(o, NULL), ',' ORDER BY n) FROM unnest(oids) WITH ORDINALITY u (o, n)
$$;
SET search_path = pg_catalog, pg_temp;
};

my @parts = (
	# the extension itself, but for its version, and everything that is a member
	q{SELECT 'extension ' || (to_jsonb(e) - '{oid,extversion,extowner,extnamespace,extconfig}'::text[])::text || ' ' || extowner::regrole || ' ' || extnamespace::regnamespace
		|| ' config ' || coalesce((SELECT string_agg(c::regclass::text, ',' ORDER BY n) FROM unnest(extconfig) WITH ORDINALITY u (c, n)), 'none')
		|| ' requires ' || (SELECT string_agg(pg_describe_object(refclassid, refobjid, 0), ',' ORDER BY refclassid::regclass::text) FROM pg_depend WHERE classid = 'pg_extension'::regclass AND objid = e.oid)
		FROM pg_extension e WHERE extname = 'fxplatform'},
	q{SELECT 'member ' || i.type || ' ' || i.identity FROM pg_depend d, pg_identify_object(d.classid, d.objid, d.objsubid) i
		WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'fxplatform')},
	q{SELECT 'schema ' || nspname || ' ' || nspowner::regrole || ' ' || pg_temp.rights(nspacl, 'n', nspowner) FROM pg_namespace WHERE nspname = 'fx'},
	q{SELECT 'initial rights ' || i.identity || ' ' || p.privtype::text || ' ' || (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(p.initprivs) a)
		FROM pg_init_privs p, pg_identify_object(p.classoid, p.objoid, p.objsubid) i WHERE i.schema = 'fx' OR i.identity = 'fx'},
	q{SELECT 'default rights ' || defaclobjtype::text || ' ' || defaclacl::text FROM pg_default_acl},
	q{SELECT 'role ' || (to_jsonb(r) - 'oid')::text FROM pg_roles r WHERE rolname LIKE 'fx\_%'},
	q{SELECT 'comment ' || i.type || ' ' || i.identity || ' ' || d.description FROM pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) i
		WHERE i.schema = 'fx' OR i.identity LIKE 'fx.%' OR i.identity ~ '\mfx\.' OR i.identity = 'fxplatform'},

	# code
	q{SELECT 'function ' || p.oid::regprocedure || ' ' || proowner::regrole || ' ' || pg_temp.rights(proacl, 'f', proowner) || ' ' || lanname
		|| ' (' || pg_get_function_arguments(p.oid) || ') ' || coalesce(pg_get_function_result(p.oid), 'procedure') || ' variadic ' || provariadic::regtype
		|| ' all ' || coalesce(pg_temp.names(proallargtypes), '') || ' transforms ' || coalesce(pg_temp.names(protrftypes), '')
		|| ' ' || (to_jsonb(p) - '{oid,pronamespace,proowner,prolang,provariadic,prorettype,proargtypes,proallargtypes,proargdefaults,protrftypes,proacl}'::text[])::text
		FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE pronamespace = 'fx'::regnamespace},
	q{SELECT 'aggregate ' || aggfnoid::regprocedure || ' ' || aggtranstype::regtype || ' ' || aggmtranstype::regtype || ' ' || aggsortop::regoperator
		|| ' ' || (to_jsonb(a) - '{aggtranstype,aggmtranstype,aggsortop}'::text[])::text
		FROM pg_aggregate a JOIN pg_proc p ON p.oid = aggfnoid WHERE pronamespace = 'fx'::regnamespace},
	q{SELECT 'type ' || t.oid::regtype || ' ' || typowner::regrole || ' ' || pg_temp.rights(typacl, 'T', typowner)
		|| ' of ' || typrelid::regclass || ' ' || typelem::regtype || ' ' || typarray::regtype || ' ' || typbasetype::regtype || ' ' || typcollation::regcollation
		|| ' ' || (to_jsonb(t) - '{oid,typnamespace,typowner,typrelid,typelem,typarray,typbasetype,typcollation,typacl}'::text[])::text
		FROM pg_type t WHERE typnamespace = 'fx'::regnamespace},
	q{SELECT 'operator ' || o.oid::regoperator || ' ' || oprowner::regrole || ' ' || oprresult::regtype || ' ' || oprcom::regoperator || ' ' || oprnegate::regoperator
		|| ' ' || (to_jsonb(o) - '{oid,oprnamespace,oprowner,oprleft,oprright,oprresult,oprcom,oprnegate}'::text[])::text
		FROM pg_operator o WHERE oprnamespace = 'fx'::regnamespace},
	q{SELECT 'class of operators ' || opcname || ' ' || amname || ' ' || opcowner::regrole || ' ' || opcintype::regtype || ' ' || opckeytype::regtype || ' ' || opcdefault || ' ' || opfname
		FROM pg_opclass JOIN pg_am a ON a.oid = opcmethod JOIN pg_opfamily f ON f.oid = opcfamily WHERE opcnamespace = 'fx'::regnamespace},
	q{SELECT 'of a family ' || pg_describe_object(classid, objid, objsubid) FROM pg_depend
		WHERE refclassid = 'pg_opfamily'::regclass AND refobjid IN (SELECT oid FROM pg_opfamily WHERE opfnamespace = 'fx'::regnamespace)
		UNION ALL SELECT 'of a class ' || pg_describe_object(classid, objid, objsubid) FROM pg_depend
		WHERE refclassid = 'pg_opclass'::regclass AND refobjid IN (SELECT oid FROM pg_opclass WHERE opcnamespace = 'fx'::regnamespace)},
	q{SELECT 'cast ' || castsource::regtype || ' ' || casttarget::regtype || ' ' || castfunc::regprocedure || ' ' || castcontext::text || castmethod::text
		FROM pg_cast c WHERE EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_cast'::regclass AND d.objid = c.oid AND d.deptype = 'e')},
	q{SELECT 'event trigger ' || evtname || ' ' || evtevent || ' ' || evtfoid::regprocedure || ' ' || evtenabled::text || ' ' || coalesce(evttags::text, '') FROM pg_event_trigger},

	# tables and views, members or not
	q{SELECT 'relation ' || c.oid::regclass || ' ' || relowner::regrole || ' ' || pg_temp.rights(relacl, CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner) || ' ' || coalesce(amname, '')
		|| ' ' || coalesce(pg_get_partkeydef(c.oid), '') || ' ' || coalesce(pg_get_expr(relpartbound, c.oid), '') || ' ' || CASE relkind WHEN 'v' THEN pg_get_viewdef(c.oid) ELSE '' END
		|| ' inherits ' || coalesce((SELECT string_agg(inhparent::regclass::text, ',') FROM pg_inherits WHERE inhrelid = c.oid), '')
		|| ' tablespace ' || reltablespace || ' toast ' || coalesce((SELECT t.reloptions::text FROM pg_class t WHERE t.oid = c.reltoastrelid), '')
		|| ' ' || (SELECT jsonb_object_agg(key, value) FROM jsonb_each(to_jsonb(c))
			WHERE key IN ('relkind', 'relpersistence', 'relisshared', 'relrowsecurity', 'relforcerowsecurity', 'relispopulated', 'relreplident', 'relispartition', 'reloptions'))::text
		FROM pg_class c LEFT JOIN pg_am a ON a.oid = relam WHERE relnamespace = 'fx'::regnamespace},
	q{SELECT 'column ' || attrelid::regclass || ' ' || row_number() OVER (PARTITION BY attrelid ORDER BY attnum) || ' ' || attname || ' ' || format_type(atttypid, atttypmod)
		|| ' default ' || coalesce(pg_get_expr(adbin, adrelid), '') || ' ' || attcollation::regcollation || ' ' || coalesce((SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(attacl) x), '')
		|| ' ' || (to_jsonb(a) - '{attrelid,attname,attnum,atttypid,attcollation,attacl,attoptions,attcacheoff,attmissingval,atthasmissing}'::text[])::text
		-- Debian's 15.20 stamps each column with where in the WAL it was made
		|| ' options ' || coalesce((SELECT string_agg(o, ',' ORDER BY o) FROM unnest(attoptions) o WHERE o NOT LIKE 'pg\_attver=%'), '')
		FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
		WHERE relnamespace = 'fx'::regnamespace AND NOT attisdropped AND attnum > 0},
	q{SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(c.oid) || ' ' || concat_ws(',', convalidated, condeferrable, condeferred, conislocal, coninhcount, connoinherit)
		FROM pg_constraint c WHERE connamespace = 'fx'::regnamespace},
	q{SELECT 'index ' || pg_get_indexdef(indexrelid) || ' ' || (to_jsonb(i) - '{indexrelid,indrelid,indkey,indcollation,indclass,indexprs,indpred,indcheckxmin}'::text[])::text
		FROM pg_index i JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace = 'fx'::regnamespace},
	q{SELECT 'trigger ' || pg_get_triggerdef(t.oid) || ' ' || tgenabled::text || ' ' || (tgparentid <> 0) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE relnamespace = 'fx'::regnamespace AND NOT tgisinternal},
	q{SELECT 'rule ' || pg_get_ruledef(r.oid) FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class WHERE relnamespace = 'fx'::regnamespace},
	q{SELECT 'policy ' || to_jsonb(p)::text FROM pg_policies p WHERE schemaname = 'fx'},
	q{SELECT 'sequence ' || (to_jsonb(s) - 'last_value')::text FROM pg_sequences s WHERE schemaname = 'fx'},
	q{SELECT 'statistics ' || pg_get_statisticsobjdef(oid) FROM pg_statistic_ext WHERE stxnamespace = 'fx'::regnamespace},
	q{SELECT 'publication ' || to_jsonb(p)::text FROM pg_publication_tables p WHERE schemaname = 'fx'},

	# what the extension knows of migrations, and what is applied
	q{SELECT 'migration ' || to_jsonb(m)::text FROM fx.migration m},
	q{SELECT 'state ' || version || ' ' || state FROM fx.migration_status});

sub catalog
{
	my ($node, $db) = @_;
	my $query = join "\nUNION ALL\n", map { "SELECT * FROM ($_) AS part (line)" } @parts;
	my $lines = $node->safe_psql($db,
		"$rights SELECT coalesce(replace(line, E'\\n', '\\n'), 'NULL') FROM ($query) AS all_parts ORDER BY line COLLATE \"C\"");

	die 'a line of the catalog is NULL' if $lines =~ /^NULL$/m;
	return [ split /\n/, $lines ];
}

# Lines that only one of two catalogs has, shortened; nothing where they are equal.
sub catalog_difference
{
	my ($is, $wanted) = @_;
	my %is = map { $_ => 1 } @$is;
	my %wanted = map { $_ => 1 } @$wanted;
	my @lines = ((map { "+ $_" } grep { !$wanted{$_} } @$is), (map { "- $_" } grep { !$is{$_} } @$wanted));

	return join "\n", map { substr $_, 0, 1500 } @lines[ 0 .. ($#lines < 20 ? $#lines : 20) ];
}

1;
