-- The functions that change the queue. Each takes the append lock in a statement of its own, before
-- it draws a number, and appends one row to the log.

-- Appends a row to the log of the current segment.
CREATE OR REPLACE FUNCTION {schema}.append_log(segment int2, entry {schema}.log_row)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CASE segment
{each segment}
    WHEN {n} THEN INSERT INTO {schema}.log_{n} SELECT entry.*;
{end}
    END CASE;
END $$;

-- Stores events and applies settlements, all or nothing: one call is one transaction. Repeating a
-- call with the same `p_writer` and `p_n` returns the result of the first; with no events and no
-- settlements, it finds out what became of the first, and makes sure that it never takes effect if
-- it has not yet.
--
-- Parallel arrays describe the events (`p_id` and those after it), what only some groups need
-- (`p_print` and those after it, null without idempotency keys and last states), the settlements
-- that end what is owed (`p_settled`), those of them that are dead letters (`p_dead` holds their
-- indexes), failed attempts (`p_attempted`) and holds.
CREATE OR REPLACE FUNCTION {schema}.flush(
    p_writer int8,
    p_n int8,
    p_id uuid[],
    p_hash int8[],
    p_slot int2[],
    p_accepted_at int8[],
    p_bytes int4[],
    -- Indexes into `p_sets`, sets of targets as text; 0: not stored.
    p_set int2[],
    p_sets text[],
    p_key bytea[],
    p_attributes bytea[],
    p_body bytea[],
    -- The hash of the idempotency key and of the body; the index of the event before in the group
    -- that has the same key, or 0.
    p_print uuid[],
    p_body_hash int8[],
    p_print_before int4[],
    -- Those of the last state; whether the state before is appended to the attributes; the set of
    -- targets if there is no state before. -1 as a set: all targets are over their quotas.
    p_state_print uuid[],
    p_state bytea[],
    p_state_before int4[],
    p_append_previous boolean[],
    p_first_set int2[],
    -- The window of idempotency keys.
    p_known_age int8,
    p_known_keys int8,
    -- `p_fresh`: not settled as far as the writer's log goes. The claim is an index into `p_claim_*`.
    p_settled int8[],
    p_settled_target int2[],
    p_fresh boolean[],
    p_settled_claim int2[],
    p_dead int4[],
    p_dead_attempts int4[],
    p_died_at int8[],
    p_note bytea[],
    p_attempted int8[],
    p_attempted_target int2[],
    p_attempted_fresh boolean[],
    p_attempted_claim int2[],
    p_attempts int4[],
    p_not_before int8[],
    p_claim_slot int2[],
    p_claim_epoch int8[],
    p_held_target int2[],
    p_held_until int8[],
    p_held_note bytea[]
) RETURNS {schema}.log_row LANGUAGE plpgsql
SET enable_seqscan TO off SET enable_hashjoin TO off SET enable_mergejoin TO off AS $$
DECLARE
    v_log {schema}.log_row;
    v_segment int2;
    v_first int8[];
    v_end int8[];
    v_cost int4[];
    v_fenced int2[];
    v_found int8[];
    v_found_cost int4[];
    v_set int2[] := p_set;
    v_attributes bytea[] := p_attributes;
    v_learn boolean[];
    v_change boolean[];
    v_new_states int8 := 0;
BEGIN
    -- What the settled entries count for their targets. They cannot change, so the lock is not
    -- needed yet; an entry that is parked meanwhile is found in `parked`.
    IF p_settled IS NOT NULL THEN
        SELECT array_agg(s.first ORDER BY s.segment), array_agg(
                CASE WHEN s.ordinal IS NOT NULL THEN coalesce(
                    (SELECT next.first FROM {schema}.segment next WHERE next.ordinal = s.ordinal + 1),
                    9223372036854775807) END
                ORDER BY s.segment)
            INTO v_first, v_end FROM {schema}.segment s;
        v_cost := ARRAY(
            SELECT CASE WHEN NOT s.fresh THEN NULL
{each segment}
                WHEN s.entry >= v_first[{n} + 1] AND s.entry < v_end[{n} + 1] THEN (
                    SELECT e.bytes FROM {schema}.event_{n} e
                    WHERE e.entry = s.entry AND s.target = ANY (e.targets))
{end}
                END
            FROM unnest(p_settled, p_settled_target, p_fresh) AS s (entry, target, fresh));
    END IF;

    -- A truncation takes the locks of tables before the append lock, so this does, too.
    LOCK TABLE {schema}.log IN ACCESS SHARE MODE;
    SELECT segment INTO STRICT v_segment FROM {schema}.head FOR UPDATE;

    SELECT * INTO v_log FROM {schema}.log WHERE writer = p_writer AND n = p_n;
    IF NOT FOUND THEN
        SELECT * INTO v_log FROM {schema}.writer WHERE writer = p_writer AND n >= p_n;
    END IF;
    IF FOUND THEN
        RETURN v_log;
    END IF;

    IF EXISTS (
        SELECT FROM unnest(p_sets) AS s (targets), unnest(s.targets::int2[]) AS t (id)
        WHERE NOT EXISTS (SELECT FROM {schema}.target WHERE target.id = t.id)
    ) THEN
        RAISE 'a target was removed' USING ERRCODE = 'WQ001';
    END IF;

    v_log := NULL;
    v_log.number := nextval('{schema}.entry');
    v_log.writer := p_writer;
    v_log.n := p_n;
    v_log.count := coalesce(cardinality(p_id), 0);
    PERFORM nextval('{schema}.entry') FROM generate_series(1, (v_log.count - 1) / 64);

    IF p_claim_slot IS NOT NULL THEN
        SELECT array_agg(c.i::int2) INTO v_log.fenced
            FROM unnest(p_claim_slot, p_claim_epoch) WITH ORDINALITY AS c (slot, epoch, i)
            WHERE NOT EXISTS (SELECT FROM {schema}.slot WHERE slot.slot = c.slot AND slot.epoch = c.epoch);
    END IF;
    v_fenced := coalesce(v_log.fenced, '{}');

    IF p_attempted IS NOT NULL THEN
        WITH changed AS (
            UPDATE {schema}.parked p SET attempts = a.attempts, not_before = a.not_before
            FROM unnest(p_attempted, p_attempted_target, p_attempted_claim, p_attempts, p_not_before)
                WITH ORDINALITY AS a (entry, target, claim, attempts, not_before, i)
            WHERE p.entry = a.entry AND p.target = a.target AND a.claim <> ALL (v_fenced)
            RETURNING a.i
        ) SELECT coalesce(array_agg(changed.i), '{}') INTO v_found FROM changed;
        SELECT array_agg(a.entry) FILTER (WHERE a.fresh), array_agg(a.target) FILTER (WHERE a.fresh),
                array_agg(a.attempts) FILTER (WHERE a.fresh),
                array_agg(a.not_before) FILTER (WHERE a.fresh),
                array_agg((-a.i)::int4) FILTER (WHERE NOT a.fresh)
            INTO v_log.attempted, v_log.attempted_target, v_log.attempts, v_log.not_before,
                v_log.not_owed
            FROM unnest(p_attempted, p_attempted_target, p_attempted_claim, p_attempted_fresh,
                    p_attempts, p_not_before)
                WITH ORDINALITY AS a (entry, target, claim, fresh, attempts, not_before, i)
            WHERE a.claim <> ALL (v_fenced) AND a.i <> ALL (v_found);
    END IF;

    IF p_dead IS NOT NULL THEN
        INSERT INTO {schema}.dead (entry, hash, accepted_at, id, bytes, slot, target, key,
                attributes, body, attempts, died_at, note)
            SELECT e.entry, e.hash, e.accepted_at, e.id, e.bytes, e.slot, p_settled_target[d.i],
                e.key, e.attributes, e.body, d.attempts, d.died_at, d.note
            FROM unnest(p_dead, p_dead_attempts, p_died_at, p_note)
                AS d (i, attempts, died_at, note),
            LATERAL (
                SELECT 0 AS rank, p.entry, p.hash, p.accepted_at, p.id, p.bytes, p.slot, p.key,
                    p.attributes, p.body
                FROM {schema}.parked p
                WHERE p.entry = p_settled[d.i] AND p.target = p_settled_target[d.i]
                UNION ALL
                SELECT 1, e.entry, e.hash, e.accepted_at, e.id, e.bytes, e.slot, e.key,
                    e.attributes, e.body
                FROM {schema}.events e
                WHERE e.entry = p_settled[d.i] AND p_settled_target[d.i] = ANY (e.targets)
                    AND p_fresh[d.i]
                ORDER BY rank LIMIT 1
            ) AS e
            WHERE p_settled_claim[d.i] <> ALL (v_fenced)
                AND EXISTS (SELECT FROM {schema}.target WHERE target.id = p_settled_target[d.i]);
    END IF;

    IF p_settled IS NOT NULL THEN
        WITH gone AS (
            DELETE FROM {schema}.parked p
            USING unnest(p_settled, p_settled_target, p_settled_claim)
                WITH ORDINALITY AS s (entry, target, claim, i)
            WHERE p.entry = s.entry AND p.target = s.target AND s.claim <> ALL (v_fenced)
            RETURNING s.i, p.bytes
        ) SELECT array_agg(gone.i), array_agg(gone.bytes) INTO v_found, v_found_cost FROM gone;
        FOR at IN 1 .. coalesce(cardinality(v_found), 0) LOOP
            v_cost[v_found[at]] := v_found_cost[at];
        END LOOP;
        SELECT array_agg(s.entry) FILTER (WHERE s.cost IS NOT NULL),
                array_agg(s.target) FILTER (WHERE s.cost IS NOT NULL),
                v_log.not_owed || array_agg(s.i::int4) FILTER (WHERE s.cost IS NULL)
            INTO v_log.settled, v_log.settled_target, v_log.not_owed
            FROM unnest(p_settled, p_settled_target, p_settled_claim, v_cost)
                WITH ORDINALITY AS s (entry, target, claim, cost, i)
            WHERE s.claim <> ALL (v_fenced);
    END IF;

    IF p_print IS NOT NULL OR p_state_print IS NOT NULL THEN
        DECLARE
            v_number int8 := (SELECT CASE WHEN is_called THEN last_value ELSE 0 END
                FROM {schema}.known_number);
            v_known_id uuid[];
            v_known_at int8[];
            v_known_number int8[];
            v_state bytea[];
            v_first_ids uuid[] := array_fill(NULL::uuid, ARRAY[v_log.count]);
            v_previous bytea[] := array_fill(NULL::bytea, ARRAY[v_log.count]);
            v_verdict text;
            v_is_first boolean;
        BEGIN
            v_learn := array_fill(false, ARRAY[v_log.count]);
            v_change := v_learn;
            v_log.verdicts := '';
            IF p_print IS NOT NULL THEN
                SELECT array_agg(k.id ORDER BY p.i), array_agg(k.learnt_at ORDER BY p.i),
                        array_agg(k.number ORDER BY p.i)
                    INTO v_known_id, v_known_at, v_known_number
                    FROM unnest(p_print) WITH ORDINALITY AS p (print, i)
                    LEFT JOIN {schema}.known k ON k.print = p.print;
            END IF;
            IF p_state_print IS NOT NULL THEN
                SELECT array_agg(s.state ORDER BY p.i) INTO v_state
                    FROM unnest(p_state_print) WITH ORDINALITY AS p (print, i)
                    LEFT JOIN {schema}.last_state s ON s.print = p.print;
            END IF;
            FOR i IN 1 .. v_log.count LOOP
                -- What earlier events of the group have changed.
                IF p_print_before[i] > 0 THEN
                    v_known_id[i] := v_known_id[p_print_before[i]];
                    v_known_at[i] := v_known_at[p_print_before[i]];
                    v_known_number[i] := v_known_number[p_print_before[i]];
                END IF;
                IF p_state_before[i] > 0 THEN
                    v_state[i] := v_state[p_state_before[i]];
                END IF;
                v_set[i] := 0;
                v_is_first := p_first_set[i] IS NOT NULL AND v_state[i] IS NULL;
                IF v_known_id[i] IS NOT NULL
                    AND p_accepted_at[i] - v_known_at[i] < p_known_age
                    AND v_known_number[i] > v_number - p_known_keys
                THEN
                    v_verdict := 'D';
                    v_first_ids[i] := v_known_id[i];
                ELSIF p_state_print[i] IS NOT NULL AND v_state[i] = p_state[i] THEN
                    v_verdict := 'U';
                    v_learn[i] := true;
                ELSIF (CASE WHEN v_is_first THEN p_first_set[i] ELSE p_set[i] END) < 0 THEN
                    v_verdict := CASE WHEN v_is_first THEN 'R' ELSE 'Q' END;
                ELSE
                    v_verdict := CASE WHEN v_is_first THEN 'F' ELSE 'S' END;
                    v_set[i] := CASE WHEN v_is_first THEN p_first_set[i] ELSE p_set[i] END;
                    v_learn[i] := true;
                    IF p_state_print[i] IS NOT NULL THEN
                        IF p_append_previous[i] AND v_state[i] IS NOT NULL THEN
                            v_attributes[i] := coalesce(v_attributes[i], '') || v_state[i];
                        END IF;
                        v_previous[i] := v_state[i];
                        v_state[i] := p_state[i];
                        v_change[i] := true;
                    END IF;
                END IF;
                IF v_learn[i] AND p_print[i] IS NOT NULL AND p_known_keys > 0 THEN
                    v_number := v_number + 1;
                    v_known_id[i] := p_id[i];
                    v_known_at[i] := p_accepted_at[i];
                    v_known_number[i] := v_number;
                ELSE
                    v_learn[i] := false;
                END IF;
                v_log.verdicts := v_log.verdicts || v_verdict;
            END LOOP;
            IF v_log.verdicts LIKE '%D%' THEN
                v_log.first_ids := v_first_ids;
            END IF;
            IF true = ANY (v_change) THEN
                v_log.previous := v_previous;
            END IF;
            IF true = ANY (v_learn) THEN
                -- Of two with one key the later one has expired the earlier.
                INSERT INTO {schema}.known (print, id, body_hash, learnt_at, number)
                    SELECT DISTINCT ON (k.print) k.print, k.id, k.body_hash, k.learnt_at, k.number
                    FROM unnest(p_print, p_id, p_body_hash, p_accepted_at, v_known_number, v_learn)
                        AS k (print, id, body_hash, learnt_at, number, learn)
                    WHERE k.learn ORDER BY k.print, k.number DESC
                    ON CONFLICT (print) DO UPDATE SET id = excluded.id,
                        body_hash = excluded.body_hash, learnt_at = excluded.learnt_at,
                        number = excluded.number;
                PERFORM setval('{schema}.known_number', v_number);
            END IF;
            IF true = ANY (v_change) THEN
                WITH changed AS (
                    INSERT INTO {schema}.last_state (print, state, changed)
                    SELECT s.print, s.state, nextval('{schema}.change_number')
                    FROM (
                        SELECT DISTINCT ON (s.print) s.print, s.state, s.i
                        FROM unnest(p_state_print, p_state, v_change) WITH ORDINALITY
                            AS s (print, state, change, i)
                        WHERE s.change ORDER BY s.print, s.i DESC
                    ) AS s ORDER BY s.i
                    ON CONFLICT (print) DO UPDATE SET state = excluded.state,
                        changed = excluded.changed
                    RETURNING xmax = 0 AS is_new
                ) SELECT count(*) INTO v_new_states FROM changed WHERE is_new;
            END IF;
        END;
    END IF;

    IF v_log.count > 0 THEN
        CASE v_segment
{each segment}
        WHEN {n} THEN
            INSERT INTO {schema}.event_{n}
                SELECT v_log.number + e.i - 1, e.hash, e.accepted_at, e.id, e.bytes, e.slot,
                    p_sets[e.set]::int2[], e.key, e.attributes, e.body
                FROM unnest(p_id, p_hash, p_slot, p_accepted_at, p_bytes, v_set, p_key,
                        v_attributes, p_body) WITH ORDINALITY
                    AS e (id, hash, slot, accepted_at, bytes, set, key, attributes, body, i)
                WHERE e.set > 0;
{end}
        END CASE;
    END IF;

    WITH change (target, owed, owed_bytes, dead, dead_bytes) AS (
        SELECT t.id, e.count, e.bytes, 0, 0
            FROM (
                SELECT e.set, count(*), sum(e.bytes) AS bytes FROM unnest(v_set, p_bytes)
                    AS e (set, bytes) WHERE e.set > 0 GROUP BY e.set
            ) AS e, unnest(p_sets[e.set]::int2[]) AS t (id)
        UNION ALL
        SELECT s.target, -1, -s.cost, 0, 0
            FROM unnest(p_settled_target, p_settled_claim, v_cost) AS s (target, claim, cost)
            WHERE s.cost IS NOT NULL AND s.claim <> ALL (v_fenced)
        UNION ALL
        SELECT p_settled_target[d.i], 0, 0, 1, v_cost[d.i] + length(d.note)
            FROM unnest(p_dead, p_note) AS d (i, note)
            WHERE v_cost[d.i] IS NOT NULL AND p_settled_claim[d.i] <> ALL (v_fenced)
        UNION ALL
        SELECT 0, v_new_states, 0, 0, 0 WHERE v_new_states > 0
    ) SELECT array_agg(c.target), array_agg(c.owed), array_agg(c.owed_bytes), array_agg(c.dead),
            array_agg(c.dead_bytes)
        INTO v_log.total_target, v_log.owed, v_log.owed_bytes, v_log.dead, v_log.dead_bytes
        FROM (
            SELECT target, sum(owed)::int8 AS owed, sum(owed_bytes)::int8 AS owed_bytes,
                sum(dead)::int8 AS dead, sum(dead_bytes)::int8 AS dead_bytes
            FROM change GROUP BY target
        ) AS c;

    IF p_held_target IS NOT NULL THEN
        UPDATE {schema}.target t SET hold_until = nullif(h.until, 0), hold_note = h.note
            FROM unnest(p_held_target, p_held_until, p_held_note) AS h (id, until, note)
            WHERE t.id = h.id;
    END IF;

    PERFORM {schema}.append_log(v_segment, v_log);
    RETURN v_log;
END $$;

-- Removes idempotency keys that are over a bound: up to `p_most` after the number `p_floor`. Returns
-- the number up to which none is left. Another process that does the same removes none meanwhile.
CREATE OR REPLACE FUNCTION {schema}.forget_keys(
    p_age int8,
    p_keys int8,
    p_floor int8,
    p_most int8
) RETURNS int8 LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    v_last int8 := (SELECT last_value FROM {schema}.known_number);
    v_oldest int8 := extract(epoch FROM clock_timestamp())::numeric * 1000 - p_age;
    v_up_to int8;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('forget {schema}', 0)) THEN
        RETURN p_floor;
    END IF;
    SELECT coalesce(min(k.number) FILTER (WHERE NOT k.is_over) - 1, max(k.number), p_floor)
        INTO v_up_to
        FROM (
            SELECT number, number <= v_last - p_keys OR learnt_at <= v_oldest AS is_over
            FROM {schema}.known WHERE number > p_floor ORDER BY number LIMIT p_most
        ) AS k;
    DELETE FROM {schema}.known k WHERE k.number > p_floor AND k.number <= v_up_to;
    RETURN v_up_to;
END $$;

-- Removes the `p_most` last states that were not changed for longest, from the change `p_floor` on.
-- `up_to` is the change up to which none is left.
CREATE OR REPLACE FUNCTION {schema}.forget_states(
    p_most int8,
    p_floor int8,
    OUT number int8,
    OUT forgotten int8,
    OUT up_to int8
) LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    v_log {schema}.log_row;
    v_segment int2;
BEGIN
    SELECT segment INTO STRICT v_segment FROM {schema}.head FOR UPDATE;
    SELECT max(s.changed) INTO up_to FROM (
        SELECT changed FROM {schema}.last_state WHERE changed > p_floor
        ORDER BY changed LIMIT p_most
    ) AS s;
    DELETE FROM {schema}.last_state s WHERE s.changed > p_floor AND s.changed <= up_to;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    up_to := coalesce(up_to, p_floor);
    number := nextval('{schema}.entry');
    v_log.number := number;
    v_log.count := 0;
    v_log.total_target := '{0}';
    v_log.owed := ARRAY[-forgotten];
    v_log.owed_bytes := '{0}';
    v_log.dead := '{0}';
    v_log.dead_bytes := '{0}';
    PERFORM {schema}.append_log(v_segment, v_log);
END $$;
