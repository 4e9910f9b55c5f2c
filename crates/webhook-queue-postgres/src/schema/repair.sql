-- The functions that operators use. Each takes the append lock, and appends a row to the log if it
-- has changed something.

-- Appends a row to the log that changes the totals of one target.
CREATE OR REPLACE FUNCTION {schema}.append_change(
    p_segment int2,
    p_number int8,
    p_target int2,
    p_owed int8,
    p_owed_bytes int8,
    p_dead int8,
    p_dead_bytes int8,
    p_parked boolean,
    p_targets_changed boolean
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_log {schema}.log_row;
BEGIN
    v_log.number := p_number;
    v_log.count := 0;
    v_log.total_target := ARRAY[p_target];
    v_log.owed := ARRAY[p_owed];
    v_log.owed_bytes := ARRAY[p_owed_bytes];
    v_log.dead := ARRAY[p_dead];
    v_log.dead_bytes := ARRAY[p_dead_bytes];
    v_log.parked := p_parked;
    v_log.targets_changed := p_targets_changed;
    PERFORM {schema}.append_log(p_segment, v_log);
END $$;

-- Makes dead letters owed again. Returns how many were found.
CREATE OR REPLACE FUNCTION {schema}.replay(p_target int2, p_entries int8[])
RETURNS int8 LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    v_segment int2;
    v_number int8;
    v_count int8;
    v_bytes int8;
    v_dead_bytes int8;
BEGIN
    SELECT segment INTO STRICT v_segment FROM {schema}.head FOR UPDATE;
    v_number := nextval('{schema}.entry');
    WITH gone AS (
        DELETE FROM {schema}.dead WHERE target = p_target AND entry = ANY (p_entries) RETURNING *
    ), again AS (
        INSERT INTO {schema}.parked (entry, hash, accepted_at, id, bytes, slot, target, key,
                attributes, body, attempts, not_before, number)
            SELECT entry, hash, accepted_at, id, bytes, slot, target, key, attributes, body, 0, 0,
                v_number
            FROM gone
    ) SELECT count(*), sum(bytes), sum(bytes + length(note)) INTO v_count, v_bytes, v_dead_bytes
        FROM gone;
    IF v_count > 0 THEN
        PERFORM {schema}.append_change(v_segment, v_number, p_target, v_count, v_bytes, -v_count,
            -v_dead_bytes, true, NULL);
    END IF;
    RETURN v_count;
END $$;

-- Removes dead letters. Returns how many were found.
CREATE OR REPLACE FUNCTION {schema}.drop_dead(p_target int2, p_entries int8[])
RETURNS int8 LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    v_segment int2;
    v_count int8;
    v_bytes int8;
BEGIN
    SELECT segment INTO STRICT v_segment FROM {schema}.head FOR UPDATE;
    WITH gone AS (
        DELETE FROM {schema}.dead WHERE target = p_target AND entry = ANY (p_entries) RETURNING *
    ) SELECT count(*), sum(bytes + length(note)) INTO v_count, v_bytes FROM gone;
    IF v_count > 0 THEN
        PERFORM {schema}.append_change(v_segment, nextval('{schema}.entry'), p_target, 0, 0,
            -v_count, -v_bytes, NULL, NULL);
    END IF;
    RETURN v_count;
END $$;

-- Removes a target, what it is owed and its dead letters. Removes up to `p_most` rows of it, and the
-- target itself if that was all; `is_gone` says so. `removed` is how many entries were removed.
CREATE OR REPLACE FUNCTION {schema}.drop_target(
    p_target int2,
    p_most int8,
    OUT removed int8,
    OUT is_gone boolean
) LANGUAGE plpgsql SET enable_seqscan TO off AS $$
DECLARE
    v_segment int2;
    v_dead int8;
    v_dead_bytes int8;
    v_parked int8;
    v_parked_bytes int8;
BEGIN
    SELECT segment INTO STRICT v_segment FROM {schema}.head FOR UPDATE;
    WITH gone AS (
        DELETE FROM {schema}.dead WHERE target = p_target AND entry IN (
            SELECT entry FROM {schema}.dead WHERE target = p_target ORDER BY entry LIMIT p_most)
        RETURNING *
    ) SELECT count(*), coalesce(sum(bytes + length(note)), 0) INTO v_dead, v_dead_bytes FROM gone;
    WITH gone AS (
        DELETE FROM {schema}.parked WHERE target = p_target AND entry IN (
            SELECT entry FROM {schema}.parked WHERE target = p_target ORDER BY entry LIMIT p_most)
        RETURNING *
    ) SELECT count(*), coalesce(sum(bytes), 0) INTO v_parked, v_parked_bytes FROM gone;
    is_gone := v_dead < p_most AND v_parked < p_most;
    removed := v_dead + v_parked;
    IF is_gone THEN
        SELECT coalesce(sum(c.count), 0) INTO removed FROM (
            SELECT owed + dead AS count FROM {schema}.total WHERE target = p_target
            UNION ALL
            SELECT l.owed[i] + l.dead[i] FROM {schema}.log l, generate_subscripts(l.total_target, 1) i
                WHERE l.total_target[i] = p_target
        ) AS c;
        DELETE FROM {schema}.target WHERE id = p_target;
        DELETE FROM {schema}.total WHERE target = p_target;
    END IF;
    IF is_gone OR removed > 0 THEN
        PERFORM {schema}.append_change(v_segment, nextval('{schema}.entry'), p_target, -v_parked,
            -v_parked_bytes, -v_dead, -v_dead_bytes, NULL, is_gone);
    END IF;
END $$;
