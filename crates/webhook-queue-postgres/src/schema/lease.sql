-- The functions of leases: which worker owns which slots. They use clock_timestamp(), since now() is
-- the time at which a transaction began, perhaps before a wait for a lock.

-- Renews a lease. `p_oldest` is when the oldest entry was accepted that its slots are owed. `renewed` is false if it had expired. `workers` are those with a lease, `rank` is
-- the number of those with a smaller id, and `free` the number of slots that no other of them owns.
CREATE OR REPLACE FUNCTION {schema}.renew_lease(
    p_worker int8,
    p_lease interval,
    p_oldest int8,
    OUT renewed boolean,
    OUT now_ms int8,
    OUT workers int4,
    OUT rank int4,
    OUT free int4
) LANGUAGE plpgsql AS $$
BEGIN
    now_ms := extract(epoch FROM clock_timestamp()) * 1000;
    UPDATE {schema}.worker SET expires = clock_timestamp() + p_lease, renewed = clock_timestamp(),
            lag_msec = greatest(now_ms - p_oldest, 0)
        WHERE id = p_worker AND expires > clock_timestamp();
    renewed := FOUND;
    now_ms := extract(epoch FROM clock_timestamp()) * 1000;
    SELECT count(*), count(*) FILTER (WHERE id < p_worker) INTO workers, rank
        FROM {schema}.worker WHERE expires > clock_timestamp();
    SELECT count(*) INTO free FROM {schema}.slot WHERE NOT EXISTS (
        SELECT FROM {schema}.worker
        WHERE id = slot.owner AND id <> p_worker AND expires > clock_timestamp());
END $$;

-- Gives up to `p_most` slots without a live owner to a worker, if its lease has not expired. Those that
-- it owns besides `p_have` are among them: the answer to an earlier call was lost. Settlements of the earlier owners are committed before this function takes the append lock, or are
-- fenced.
CREATE OR REPLACE FUNCTION {schema}.claim_slots(p_worker int8, p_most int4, p_have int2[])
RETURNS TABLE (claimed int2, fence int8) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM {schema}.head FOR UPDATE;
    -- A renewal that is under way holds its row: this waits for it and looks at the row again. A look
    -- at `expires` alone would not.
    DELETE FROM {schema}.worker WHERE expires <= clock_timestamp();
    IF NOT EXISTS (SELECT FROM {schema}.worker WHERE id = p_worker) THEN
        RETURN;
    END IF;
    RETURN QUERY UPDATE {schema}.slot SET owner = p_worker, epoch = epoch + 1 WHERE slot IN (
            SELECT free.slot FROM {schema}.slot free
            WHERE NOT free.slot = ANY (p_have) AND NOT EXISTS (
                SELECT FROM {schema}.worker WHERE id = free.owner AND id <> p_worker)
            ORDER BY free.slot LIMIT p_most)
        RETURNING slot, epoch;
END $$;
