--
-- For whom the session acts
--
SELECT fx.current_user_id() IS NULL AS unset;
SET app.current_user_id = '';
SELECT fx.current_user_id() IS NULL AS empty;
SET app.current_user_id = '00000000-0000-4000-8000-0000000000Ab';
SELECT fx.current_user_id();
SET app.current_user_id = '{a0eebc999c0b4ef8bb6d6bb9bd380a11}';
SELECT fx.current_user_id();
SET app.current_user_id = 'a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11';
SELECT fx.current_user_id();
-- the same as uuid's own input, accepted or not
CREATE FUNCTION pg_temp.same(value text) RETURNS boolean LANGUAGE plpgsql SET client_min_messages = error AS $$
DECLARE
    expected uuid;
BEGIN
    PERFORM set_config('app.current_user_id', value, false);
    BEGIN
        expected := nullif(value, '')::uuid;
    EXCEPTION WHEN invalid_text_representation THEN
        expected := NULL;
    END;
    RETURN fx.current_user_id() IS NOT DISTINCT FROM expected;
END
$$;
SELECT v FROM unnest(ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-', '-a0eebc999c0b4ef8bb6d6bb9bd380a11',
    'a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11', 'a0e-ebc999c0b4ef8bb6d6bb9bd380a11', '{a0eebc999c0b4ef8bb6d6bb9bd380a11', 'a0eebc999c0b4ef8bb6d6bb9bd380a11}', '{}', '{', 'g0eebc999c0b4ef8bb6d6bb9bd380a11',
    ' a0eebc999c0b4ef8bb6d6bb9bd380a11', 'a0eebc999c0b4ef8bb6d6bb9bd380a11 ', '0', repeat('0', 1000), 'NULL', 'ä0eebc999c0b4ef8bb6d6bb9bd380a11']) AS v WHERE NOT pg_temp.same(v);
-- one warning for a value, and the value is not shown
SET app.current_user_id = 'service:bot';
SELECT fx.current_user_id() IS NULL AS first;
SELECT fx.current_user_id() IS NULL AS second FROM generate_series(1, 3);
SET app.current_user_id = 'service:other';
SELECT fx.current_user_id() IS NULL AS another;
RESET app.current_user_id;
SELECT fx.current_user_id() IS NULL AS reset;
