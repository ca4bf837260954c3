
-- sets of limits

CREATE FUNCTION apply_risk_preset(user_id uuid, preset text)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted record;
    existing uuid;
    was_changed boolean;
    changed integer := 0;
BEGIN
    IF apply_risk_preset.user_id IS NULL OR apply_risk_preset.preset IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN apply_risk_preset.user_id IS NULL THEN 'user_id' ELSE 'preset' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    SELECT count(*) AS rows, count(DISTINCT p.time_zone) AS zones,
           count(DISTINCT p.day_cutoff) AS cutoffs,
           max(p.time_zone) AS time_zone, max(p.day_cutoff) AS day_cutoff
      INTO wanted
      FROM fx.risk_presets p
     WHERE p.preset = apply_risk_preset.preset;
    IF wanted.rows = 0 THEN
        RAISE EXCEPTION 'risk preset "%" does not exist', left(apply_risk_preset.preset, 64)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('There are: %s.',
                                (SELECT string_agg(DISTINCT p.preset, ', ') FROM fx.risk_presets p));
    END IF;
    IF wanted.zones > 1 OR wanted.cutoffs > 1 THEN
        RAISE EXCEPTION 'rows of risk preset "%" disagree about the %',
                left(apply_risk_preset.preset, 64),
                CASE WHEN wanted.zones > 1 THEN 'time zone' ELSE 'cut-off' END
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'An account has one trading day.';
    END IF;

    -- before the limits, as trades do
    PERFORM fx.lock_account(apply_risk_preset.user_id);
    UPDATE fx.accounts a
       SET time_zone = coalesce(wanted.time_zone, a.time_zone),
           day_cutoff = coalesce(wanted.day_cutoff, a.day_cutoff)
     WHERE a.user_id = apply_risk_preset.user_id
       AND (a.time_zone, a.day_cutoff)
           IS DISTINCT FROM (coalesce(wanted.time_zone, a.time_zone),
                             coalesce(wanted.day_cutoff, a.day_cutoff));

    FOR wanted IN
        SELECT * FROM fx.risk_presets p WHERE p.preset = apply_risk_preset.preset ORDER BY p.name
    LOOP
        SELECT l.id INTO existing
          FROM fx.risk_limits l
         WHERE l.user_id = apply_risk_preset.user_id AND l.name = wanted.name
         ORDER BY l.created_at, l.id
         LIMIT 1;
        IF existing IS NULL THEN
            INSERT INTO fx.risk_limits
                   (user_id, name, type, limit_type, limit_value, action, anchor, basis, breach_op)
            VALUES (apply_risk_preset.user_id, wanted.name, wanted.type, wanted.limit_type,
                    wanted.limit_value, coalesce(wanted.action, 'block'), wanted.anchor,
                    wanted.basis, wanted.breach_op);
            changed := changed + 1;
        ELSE
            -- Settings that the preset leaves open are those of the type.  They
            -- come with its change, so it is made before those that are given.
            UPDATE fx.risk_limits l
               SET type = wanted.type, limit_type = wanted.limit_type,
                   limit_value = wanted.limit_value
             WHERE l.id = existing
               AND (l.type, l.limit_type) IS DISTINCT FROM (wanted.type, wanted.limit_type);
            was_changed := FOUND;
            UPDATE fx.risk_limits l
               SET limit_value = wanted.limit_value,
                   action = coalesce(wanted.action, 'block'), anchor = wanted.anchor,
                   basis = wanted.basis, breach_op = wanted.breach_op, is_active = true
             WHERE l.id = existing
               AND (NOT coalesce(l.is_active, false)
                    OR (l.limit_value, l.action)
                       IS DISTINCT FROM (wanted.limit_value, coalesce(wanted.action, 'block'))
                    OR (wanted.anchor IS NOT NULL AND l.anchor IS DISTINCT FROM wanted.anchor)
                    OR (wanted.basis IS NOT NULL AND l.basis IS DISTINCT FROM wanted.basis)
                    OR (wanted.breach_op IS NOT NULL
                        AND l.breach_op IS DISTINCT FROM wanted.breach_op));
            IF FOUND OR was_changed THEN
                changed := changed + 1;
            END IF;
        END IF;
    END LOOP;
    RETURN changed;
END
$$;

COMMENT ON FUNCTION apply_risk_preset(uuid, text)
    IS 'gives a user the limits of a preset of fx.risk_presets, and his trading day its time zone and cut-off: a limit of his that has the name of one of the preset becomes like it, others are added, all others stay; returns how many limits were made or changed; errors: 22004 NULL, 22023 no such preset, or one whose rows have different time zones or cut-offs, 23503 no such user';

REVOKE ALL ON FUNCTION apply_risk_preset(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION apply_risk_preset(uuid, text) TO fx_app;
