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
    -- The window of idempotency keys, and the most last states to forget.
    p_known_age int8,
    p_known_keys int8,
    p_forget_states int4,
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
BEGIN
    RAISE 'not written yet';
END $$;
