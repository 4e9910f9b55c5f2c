-- The functions of the ring of segments.

-- The segments in use, the oldest first, with the bytes of their events.
CREATE OR REPLACE FUNCTION {schema}.segments_in_use()
RETURNS TABLE (ordinal int8, first int8, bytes int8) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT used.ordinal, used.first, CASE used.segment
{each segment}
        WHEN {n} THEN pg_table_size('{schema}.event_{n}')
{end}
        END FROM {schema}.segment used WHERE used.ordinal IS NOT NULL ORDER BY used.ordinal;
END $$;

-- Begins the next segment after the one with this ordinal, if that is the current one and another
-- is free.
CREATE OR REPLACE FUNCTION {schema}.begin_segment(p_ordinal int8)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_next int2;
BEGIN
    PERFORM FROM {schema}.head FOR UPDATE;
    IF p_ordinal <> (SELECT max(ordinal) FROM {schema}.segment) THEN
        RETURN false;
    END IF;
    SELECT segment INTO v_next FROM {schema}.segment WHERE ordinal IS NULL ORDER BY segment LIMIT 1;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE {schema}.segment SET ordinal = p_ordinal + 1, first = nextval('{schema}.entry')
        WHERE segment = v_next;
    UPDATE {schema}.head SET segment = v_next;
    RETURN true;
END $$;

-- Copies entries out of their segment, each for one target, unless the log has settled them in a row
-- after `p_known`, the last that the caller knows. Attempts after it count as well.
CREATE OR REPLACE FUNCTION {schema}.park(
    p_entry int8[],
    p_target int2[],
    p_attempts int4[],
    p_not_before int8[],
    p_known int8
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_number int8;
BEGIN
    PERFORM FROM {schema}.head FOR UPDATE;
    v_number := nextval('{schema}.entry');
    WITH settled AS MATERIALIZED (
        SELECT it.entry, it.target FROM {schema}.log,
            unnest(settled, settled_target) AS it (entry, target)
        WHERE number > p_known
    ), attempted AS MATERIALIZED (
        SELECT it.entry, it.target, max(it.attempts) AS attempts, max(it.not_before) AS not_before
        FROM {schema}.log,
            unnest(attempted, attempted_target, attempts, not_before)
                AS it (entry, target, attempts, not_before)
        WHERE number > p_known GROUP BY 1, 2
    )
    INSERT INTO {schema}.parked (entry, hash, accepted_at, id, bytes, slot, target, key, attributes,
            body, attempts, not_before, number)
        SELECT event.entry, event.hash, event.accepted_at, event.id, event.bytes, event.slot,
            asked.target, event.key, event.attributes, event.body,
            coalesce(attempted.attempts, asked.attempts),
            coalesce(attempted.not_before, asked.not_before), v_number
        FROM unnest(p_entry, p_target, p_attempts, p_not_before)
                AS asked (entry, target, attempts, not_before)
            JOIN {schema}.events event ON event.entry = asked.entry
            LEFT JOIN attempted
                ON attempted.entry = asked.entry AND attempted.target = asked.target
        WHERE NOT EXISTS (SELECT FROM settled
                WHERE settled.entry = asked.entry AND settled.target = asked.target)
            AND EXISTS (SELECT FROM {schema}.target WHERE id = asked.target)
        ON CONFLICT DO NOTHING;
END $$;

-- Removes the oldest segment, if it has this ordinal and is not the current one: its events, which
-- are settled or parked, and its part of the log, of which the sums are kept and the last row of
-- each writer.
CREATE OR REPLACE FUNCTION {schema}.truncate_segment(p_ordinal int8)
RETURNS boolean LANGUAGE plpgsql SET lock_timeout TO '200ms' AS $$
DECLARE
    v_segment int2;
BEGIN
    -- A reader may hold the tables for long; and a flush that waits for the append lock holds them,
    -- so that they would never be free under it while there is always one.
    SELECT segment INTO v_segment FROM {schema}.segment WHERE ordinal = p_ordinal;
    CASE v_segment
{each segment}
    WHEN {n} THEN
        LOCK TABLE {schema}.event_{n}, {schema}.log_{n} IN ACCESS EXCLUSIVE MODE;
{end}
    ELSE
        RETURN false;
    END CASE;
    PERFORM FROM {schema}.head FOR UPDATE;
    PERFORM FROM {schema}.segment
        WHERE segment = v_segment AND ordinal = p_ordinal
            AND ordinal = (SELECT min(ordinal) FROM {schema}.segment)
            AND segment <> (SELECT head.segment FROM {schema}.head);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    CASE v_segment
{each segment}
    WHEN {n} THEN
        INSERT INTO {schema}.total AS sums (target, owed, owed_bytes, dead, dead_bytes)
            SELECT it.target, sum(it.owed), sum(it.owed_bytes), sum(it.dead), sum(it.dead_bytes)
            FROM {schema}.log_{n},
                unnest(total_target, owed, owed_bytes, dead, dead_bytes)
                    AS it (target, owed, owed_bytes, dead, dead_bytes)
            WHERE it.target = 0 OR EXISTS (SELECT FROM {schema}.target WHERE id = it.target)
            GROUP BY 1
            ON CONFLICT (target) DO UPDATE SET
                owed = sums.owed + excluded.owed,
                owed_bytes = sums.owed_bytes + excluded.owed_bytes,
                dead = sums.dead + excluded.dead,
                dead_bytes = sums.dead_bytes + excluded.dead_bytes;
        DELETE FROM {schema}.writer WHERE writer IN (SELECT writer FROM {schema}.log_{n});
        INSERT INTO {schema}.writer
            SELECT row.* FROM {schema}.log_{n} row JOIN (
                    SELECT writer, max(n) AS n FROM {schema}.log_{n} GROUP BY writer) last
                ON row.writer = last.writer AND row.n = last.n;
        TRUNCATE {schema}.event_{n}, {schema}.log_{n};
{end}
    END CASE;
    UPDATE {schema}.segment SET ordinal = NULL, first = NULL WHERE segment = v_segment;
    -- A writer is a process: one from before so many starts has no call under way.
    DELETE FROM {schema}.writer
        WHERE writer < (SELECT last_value FROM {schema}.writer_id) - 10000;
    RETURN true;
END $$;
