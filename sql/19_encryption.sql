
-- encryption of columns
--
-- Keys are in a file that setting fxplatform.key_file names.  It is read in C,
-- and no key is ever part of a statement.

CREATE FUNCTION encrypt(plaintext text, context text)
RETURNS text
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_encrypt';

REVOKE ALL ON FUNCTION encrypt(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION encrypt(text, text) TO fx_app;

COMMENT ON FUNCTION encrypt(text, text)
    IS 'encrypts a text with the newest key of the file of keys (AES-256-CBC, then HMAC-SHA256) for a context, which is authenticated and not stored: say where the value belongs, such as schema.table.column:id; about 4/3 of the length and 90 bytes; NULL for NULL; errors: 55000 no file of keys is configured, F0000 it cannot be used, 42501 the context begins with "fx.", 54000 text over 64 MB';

CREATE FUNCTION decrypt(value text, context text)
RETURNS text
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_decrypt';

REVOKE ALL ON FUNCTION decrypt(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION decrypt(text, text) TO fx_app;

COMMENT ON FUNCTION decrypt(text, text)
    IS 'decrypts what fx.encrypt made for the same context; NULL for NULL; errors: 22000 it was changed or the context is another, 22023 it is not encrypted, 55000 the file of keys is not configured or has no key of its version, F0000 it cannot be used, 42501 the context begins with "fx."';

CREATE FUNCTION encrypt_value(plaintext text, context text)
RETURNS text
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_encrypt_value';

REVOKE ALL ON FUNCTION encrypt_value(text, text) FROM PUBLIC;

COMMENT ON FUNCTION encrypt_value(text, text)
    IS 'fx.encrypt for every context, also those of the platform''s own columns';

CREATE FUNCTION decrypt_value(value text, context text)
RETURNS text
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_decrypt_value';

REVOKE ALL ON FUNCTION decrypt_value(text, text) FROM PUBLIC;

COMMENT ON FUNCTION decrypt_value(text, text)
    IS 'fx.decrypt for every context, also those of the platform''s own columns';

CREATE FUNCTION encryption_version(value text)
RETURNS integer
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_encryption_version';

COMMENT ON FUNCTION encryption_version(text)
    IS 'version of the key with which fx.encrypt made this value, NULL when it is none of its values';

CREATE FUNCTION newest_key_version()
RETURNS integer
LANGUAGE C
VOLATILE
AS 'MODULE_PATHNAME', 'fx_newest_key_version';

REVOKE ALL ON FUNCTION newest_key_version() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION newest_key_version() TO fx_app;

COMMENT ON FUNCTION newest_key_version()
    IS 'version of the key that encrypts; errors: 55000 no file of keys is configured, or it has no key, F0000 it cannot be used';

CREATE FUNCTION register_encrypted_column(relation regclass, column_name name, key_column name DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys name[];
BEGIN
    IF relation IS NULL OR column_name IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN relation IS NULL THEN 'relation' ELSE 'column_name' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM fx.relation_name(relation);
    IF (SELECT c.relkind FROM pg_class c WHERE c.oid = relation) <> 'r' THEN
        RAISE EXCEPTION '% is not an ordinary table', relation
            USING ERRCODE = 'wrong_object_type',
                  HINT = 'Register each partition of a partitioned table.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_attribute a
                    WHERE a.attrelid = relation AND a.attname = column_name AND NOT a.attisdropped
                      AND a.atttypid IN ('text'::regtype, 'varchar'::regtype)) THEN
        RAISE EXCEPTION 'table % has no column "%" of type %', relation, column_name, 'text'
            USING ERRCODE = 'undefined_column';
    END IF;
    -- a single column that cannot have the same value twice
    SELECT array_agg(a.attname)
      INTO keys
      FROM pg_index i
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
     WHERE i.indrelid = relation AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1
       AND i.indexprs IS NULL AND i.indpred IS NULL
       AND CASE WHEN key_column IS NULL THEN i.indisprimary ELSE a.attname = key_column END;
    IF keys IS NULL THEN
        RAISE EXCEPTION 'table % has no unique column to tell its rows by', relation
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    INSERT INTO fx.encrypted_columns (relation, column_name, key_column, context)
    VALUES (relation::text, column_name, keys[1], format('%s.%s', relation, column_name));
    RETURN format('%s.%s', relation, column_name);
END
$$;

REVOKE ALL ON FUNCTION register_encrypted_column(regclass, name, name) FROM PUBLIC;

COMMENT ON FUNCTION register_encrypted_column(regclass, name, name)
    IS 'has fx.rotate_encryption_keys encrypt a column anew, a text or varchar with room for it, in rows told by key_column (NULL: the primary key); returns the context of the column: that of a value is this, a colon and the text of key_column; for the owner of the platform; errors: 42P01 no such relation, 42809 no ordinary table, 42703 no such column, 22023 no unique column, 23505 registered already, 22004 NULL';

-- Values are found by the pages of their table, so that no index is needed and
-- each page is read once.  Values in clear are encrypted too.
CREATE FUNCTION rotate_encryption_pages(relation text, column_name text, key_column text, context text,
                                        newest integer, first_page bigint, pages integer)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target CONSTANT regclass := relation;
    item record;
    plaintext text;
    done bigint := 0;
BEGIN
    FOR item IN EXECUTE format(
        'SELECT t.ctid AS place, t.%I::text AS key, t.%2$I::text AS value
           FROM ONLY %3$s t
          WHERE t.%2$I IS NOT NULL AND t.ctid >= $1 AND t.ctid < $2
            AND fx.encryption_version(t.%2$I) IS DISTINCT FROM $3
            FOR NO KEY UPDATE', key_column, column_name, target)
        USING format('(%s,0)', first_page)::tid, format('(%s,0)', first_page + pages)::tid, newest
    LOOP
        BEGIN
            plaintext := CASE
                             WHEN fx.encryption_version(item.value) IS NULL THEN item.value
                             ELSE fx.decrypt_value(item.value, format('%s:%s', context, item.key))
                         END;
        EXCEPTION WHEN data_exception THEN
            RAISE EXCEPTION 'value of column "%" cannot be authenticated', column_name
                USING ERRCODE = 'data_exception',
                      DETAIL = format('Table %s, row "%s".', relation, item.key);
        END;
        EXECUTE format('UPDATE ONLY %s t SET %I = $1 WHERE t.ctid = $2', target, column_name)
            USING fx.encrypt_value(plaintext, format('%s:%s', context, item.key)), item.place;
        done := done + 1;
    END LOOP;
    RETURN done;
END
$$;

REVOKE ALL ON FUNCTION rotate_encryption_pages(text, text, text, text, integer, bigint, integer) FROM PUBLIC;

COMMENT ON FUNCTION rotate_encryption_pages(text, text, text, text, integer, bigint, integer)
    IS 'encrypts the values of a column on some pages of its table with the newest key and returns how many; errors: 22000 one of them cannot be authenticated, 42P01 no such table';

CREATE FUNCTION note_encryption_rotation(relation text, column_name text, newest integer)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE fx.encrypted_columns c
       SET key_version = newest, rotated_at = clock_timestamp()
     WHERE (c.relation, c.column_name) = (note_encryption_rotation.relation, note_encryption_rotation.column_name);
END
$$;

REVOKE ALL ON FUNCTION note_encryption_rotation(text, text, integer) FROM PUBLIC;

COMMENT ON FUNCTION note_encryption_rotation(text, text, integer)
    IS 'records that a column is encrypted with this key throughout';

-- It commits, so that it can neither run with the rights of its owner nor have
-- a search_path of its own: it sets that after each commit.
CREATE PROCEDURE rotate_encryption_keys(pages_per_batch integer DEFAULT 100)
LANGUAGE plpgsql
AS $$
DECLARE
    item pg_catalog.record;
    newest integer;
    page bigint;
    pages bigint;
    done bigint;
    total bigint;
    passes integer;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF pages_per_batch IS NULL OR pages_per_batch < 1 THEN
        RAISE EXCEPTION 'argument "%" must be greater than zero', 'pages_per_batch'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    newest := fx.newest_key_version();

    FOR item IN SELECT * FROM fx.encrypted_columns c ORDER BY c.relation, c.column_name LOOP
        total := 0;
        passes := 0;
        -- a row that somebody updates meanwhile may move to a page that was read
        LOOP
            done := 0;
            page := 0;
            pages := pg_catalog.pg_relation_size(item.relation::pg_catalog.regclass)
                     / pg_catalog.current_setting('block_size')::bigint;
            WHILE page < pages LOOP
                done := done + fx.rotate_encryption_pages(item.relation, item.column_name, item.key_column,
                                                          item.context, newest, page, pages_per_batch);
                page := page + pages_per_batch;
                COMMIT;
                PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
                RAISE NOTICE 'column %.%: % of % pages, % values encrypted',
                    item.relation, item.column_name, least(page, pages), pages, total + done;
            END LOOP;
            total := total + done;
            passes := passes + 1;
            EXIT WHEN done = 0 OR passes = 10;
        END LOOP;
        IF done = 0 THEN
            PERFORM fx.note_encryption_rotation(item.relation, item.column_name, newest);
        END IF;
        COMMIT;
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    END LOOP;
END
$$;

REVOKE ALL ON PROCEDURE rotate_encryption_keys(integer) FROM PUBLIC;

COMMENT ON PROCEDURE rotate_encryption_keys(integer)
    IS 'encrypts every value of the columns in fx.encrypted_columns anew that is not encrypted with the newest key, also those in clear, for the owner; commits after each batch of pages and says how far it is, so that it can be interrupted and called again; the old key can leave the file when it has ended (and no backup needs it); errors: 55000 no file of keys is configured, 22000 a value cannot be authenticated, 22023 pages_per_batch under 1';
