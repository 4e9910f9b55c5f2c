-- The tables of a queue. `{schema}` is the quoted name of the schema. Statements between
-- `{each segment}` and `{end}` are repeated for each segment of the ring, whose number is `{n}`.
--
-- Lock order: the tables of segments that are not current, `head`, those of the current one, rows.
-- Times are epoch milliseconds of the server's clock unless they are `timestamptz`.

DO $$ BEGIN
    -- IF NOT EXISTS would need the right to create one even if it exists.
    IF to_regnamespace('{schema}') IS NULL THEN CREATE SCHEMA {schema}; END IF;
END $$;

-- version, slots, secret (32 hexadecimal digits; of the hashes of keys).
CREATE TABLE {schema}.meta (
    key text PRIMARY KEY,
    value text NOT NULL
);

-- The append lock: each change of the queue begins with `SELECT ... FROM head FOR UPDATE` in a
-- statement of its own. So the order of entries is the order of commits.
CREATE TABLE {schema}.head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- The segment that events are appended to.
    segment int2 NOT NULL
);

-- The ring of segments. `ordinal` grows with each use; a free segment has none, and its tables are
-- empty. Its entries are those from `first` to the one before the `first` of the next ordinal.
CREATE TABLE {schema}.segment (
    segment int2 PRIMARY KEY,
    ordinal int8 UNIQUE,
    first int8
);

-- Entries, and the numbers of the rows of the log: one sequence, drawn under the append lock. A draw
-- is a block of 64 numbers.
CREATE SEQUENCE {schema}.entry INCREMENT 64 MINVALUE 64 CACHE 1;
-- Ids of writers (one for each process that writes) and of workers (one for each lease).
CREATE SEQUENCE {schema}.writer_id CACHE 1;
CREATE SEQUENCE {schema}.worker_id CACHE 1;
-- Ids of targets, which are never used again. 0 stands for the last states in the totals.
CREATE SEQUENCE {schema}.target_id AS int2 CACHE 1;
-- The order in which idempotency keys were learnt, and in which states were changed.
CREATE SEQUENCE {schema}.known_number CACHE 1;
CREATE SEQUENCE {schema}.change_number CACHE 1;

-- The targets. An id without a row is that of a removed target: what it is owed counts as settled.
CREATE TABLE {schema}.target (
    id int2 PRIMARY KEY DEFAULT nextval('{schema}.target_id'),
    name text NOT NULL UNIQUE,
    hold_until int8,
    hold_note bytea
);

-- The workers. Only renewals change their rows.
CREATE TABLE {schema}.worker (
    id int8 PRIMARY KEY,
    name text NOT NULL,
    started timestamptz NOT NULL DEFAULT clock_timestamp(),
    renewed timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires timestamptz NOT NULL,
    -- For how long its oldest entry has been owed, milliseconds.
    lag_msec int8
) WITH (fillfactor = 50);

-- The slots of keys. `epoch` grows with each change of the owner.
CREATE TABLE {schema}.slot (
    slot int2 PRIMARY KEY,
    owner int8,
    epoch int8 NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- The events of one segment. Rows are inserted, and removed by TRUNCATE alone.
{each segment}
CREATE TABLE {schema}.event_{n} (
    entry int8 NOT NULL,
    -- Of the key; the slot is its remainder.
    hash int8 NOT NULL,
    accepted_at int8 NOT NULL,
    id uuid NOT NULL,
    -- What it counts for each of its targets.
    bytes int4 NOT NULL,
    slot int2 NOT NULL,
    targets int2[] NOT NULL,
    key bytea NOT NULL,
    attributes bytea,
    body bytea NOT NULL,
    PRIMARY KEY (entry)
) WITH (autovacuum_vacuum_insert_threshold = -1);
-- Everything stays in its row while it fits a page: MAIN, for columns of 24 bytes and more.
ALTER TABLE {schema}.event_{n} ALTER body SET STORAGE MAIN, ALTER attributes SET STORAGE MAIN,
    ALTER key SET STORAGE MAIN, ALTER targets SET STORAGE MAIN;
CREATE INDEX ON {schema}.event_{n} (hash, entry);
{end}

-- The log: one row for each change of the queue, inserted under the append lock into the table of
-- the current segment. Arrays are null instead of empty. Rows are removed by TRUNCATE alone, with the
-- events of their segment. (`log_row` itself is empty: it is the type of a row.)
CREATE TABLE {schema}.log_row (
    number int8 NOT NULL,
    -- Whose change it is; null for those of operators.
    writer int8,
    n int8,
    -- Events appended: their entries are from `number` on. Entries that were not stored are gaps.
    count int4 NOT NULL,
    -- Entries that their target is owed no longer (delivered, dropped, dead).
    settled int8[],
    settled_target int2[],
    -- Entries of segments that were attempted and are still owed.
    attempted int8[],
    attempted_target int2[],
    attempts int4[],
    not_before int8[],
    -- What changes in the totals of targets.
    total_target int2[],
    owed int8[],
    owed_bytes int8[],
    dead int8[],
    dead_bytes int8[],
    -- Rows of `parked` have this number: entries before a reader's cursor are owed now.
    parked boolean,
    -- The table `target` has other rows now.
    targets_changed boolean,
    -- The answer to the writer. Claims, by their index, that had ended; settlements, by their index
    -- from 1, that were not owed; and, unless all events were simply stored, what became of each:
    -- a letter, the id of the first event of a duplicate, the state before.
    fenced int2[],
    not_owed int4[],
    verdicts text,
    first_ids uuid[],
    previous bytea[],
    PRIMARY KEY (number),
    UNIQUE (writer, n)
) WITH (autovacuum_vacuum_insert_threshold = -1);
{each segment}
CREATE TABLE {schema}.log_{n} (LIKE {schema}.log_row INCLUDING ALL)
    WITH (autovacuum_vacuum_insert_threshold = -1);
ALTER TABLE {schema}.log_{n} ALTER settled SET STORAGE MAIN, ALTER settled_target SET STORAGE MAIN;
{end}

-- The segments as one. A query by `entry`, `(hash, entry)`, `number` or `(writer, n)` uses the indexes.
CREATE VIEW {schema}.events AS {union event};
CREATE VIEW {schema}.log AS {union log};

-- Events copied out of a segment so that it could be truncated, and replayed dead letters: one row
-- for each target that is owed one. It goes before the event's row in a segment.
CREATE TABLE {schema}.parked (
    entry int8 NOT NULL,
    hash int8 NOT NULL,
    accepted_at int8 NOT NULL,
    id uuid NOT NULL,
    bytes int4 NOT NULL,
    slot int2 NOT NULL,
    target int2 NOT NULL,
    key bytea NOT NULL,
    attributes bytea,
    body bytea NOT NULL,
    attempts int4 NOT NULL,
    not_before int8 NOT NULL,
    -- The number in the log of the change that parked it.
    number int8 NOT NULL,
    PRIMARY KEY (entry, target)
);
ALTER TABLE {schema}.parked ALTER body SET STORAGE MAIN, ALTER attributes SET STORAGE MAIN,
    ALTER key SET STORAGE MAIN;
CREATE INDEX ON {schema}.parked (hash, entry);
CREATE INDEX ON {schema}.parked (number);

CREATE TABLE {schema}.dead (
    entry int8 NOT NULL,
    hash int8 NOT NULL,
    accepted_at int8 NOT NULL,
    id uuid NOT NULL,
    bytes int4 NOT NULL,
    slot int2 NOT NULL,
    target int2 NOT NULL,
    key bytea NOT NULL,
    attributes bytea,
    body bytea NOT NULL,
    attempts int4 NOT NULL,
    died_at int8 NOT NULL,
    note bytea NOT NULL,
    PRIMARY KEY (target, entry)
);
ALTER TABLE {schema}.dead ALTER body SET STORAGE MAIN, ALTER attributes SET STORAGE MAIN,
    ALTER key SET STORAGE MAIN;
CREATE INDEX ON {schema}.dead (died_at);

-- Idempotency keys, by their hash.
CREATE TABLE {schema}.known (
    print uuid PRIMARY KEY,
    id uuid NOT NULL,
    body_hash int8 NOT NULL,
    learnt_at int8 NOT NULL,
    number int8 NOT NULL
);
CREATE INDEX ON {schema}.known (number);

-- Last states, by the hash of what has them.
CREATE TABLE {schema}.last_state (
    print uuid PRIMARY KEY,
    state bytea NOT NULL,
    changed int8 NOT NULL
);
CREATE INDEX ON {schema}.last_state (changed);

-- The sums of the changes of totals in rows of the log that were truncated.
CREATE TABLE {schema}.total (
    target int2 PRIMARY KEY,
    owed int8 NOT NULL,
    owed_bytes int8 NOT NULL,
    dead int8 NOT NULL,
    dead_bytes int8 NOT NULL
);

-- The last row of each writer among those of the log that were truncated.
CREATE TABLE {schema}.writer (LIKE {schema}.log_row, PRIMARY KEY (writer));

-- Bodies stay in their rows, compressed by lz4 if the server has it: pglz takes twice the time of
-- all the rest.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_settings
               WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
{each segment}
        ALTER TABLE {schema}.event_{n} ALTER body SET COMPRESSION lz4;
        ALTER TABLE {schema}.log_{n} ALTER settled SET COMPRESSION lz4,
            ALTER settled_target SET COMPRESSION lz4;
{end}
        ALTER TABLE {schema}.parked ALTER body SET COMPRESSION lz4;
        ALTER TABLE {schema}.dead ALTER body SET COMPRESSION lz4;
    ELSE
{each segment}
        ALTER TABLE {schema}.event_{n} ALTER body SET STORAGE EXTERNAL;
{end}
    END IF;
END $$;

INSERT INTO {schema}.head (segment) VALUES (0);
{each segment}
INSERT INTO {schema}.segment (segment, ordinal, first)
    VALUES ({n}, CASE {n} WHEN 0 THEN 1 END, CASE {n} WHEN 0 THEN 64 END);
{end}
INSERT INTO {schema}.slot (slot) SELECT generate_series(0, {slots} - 1);
INSERT INTO {schema}.meta (key, value) VALUES
    ('version', '{version}'),
    ('slots', '{slots}'),
    ('secret', replace(gen_random_uuid()::text, '-', ''));
