-- +goose Up
-- The ledger: what was done to the stack, one row a line, each chained to the one before by a keyed hash. The key is
-- the worker's; this database never sees it, so who can write here still cannot make a row that fits.
--
-- hive_ledger may add rows and move the head, and no more. Its password is set by ledger.SetPassword.

-- +goose StatementBegin
DO $$ BEGIN
    CREATE ROLE hive_ledger LOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN -- roles belong to the server, not to the database
    NULL;
END $$;
-- +goose StatementEnd

CREATE SCHEMA ledger;

CREATE TABLE ledger.rows (
    seq          bigint      PRIMARY KEY,
    prev         bytea       NOT NULL CHECK (octet_length(prev) = 32),
    hash         bytea       NOT NULL CHECK (octet_length(hash) = 32),
    id           uuid        NOT NULL,
    at           timestamptz NOT NULL,
    workflow     text        NOT NULL,
    run          text        NOT NULL,
    procedure    text        NOT NULL,
    step         text        NOT NULL,
    effect       text        NOT NULL,
    target       text        NOT NULL,
    nth          integer     NOT NULL,
    effect_key   bytea       NOT NULL,
    attempt      integer     NOT NULL,
    outcome      text        NOT NULL CHECK (outcome IN ('started', 'done', 'adopted', 'confirmed', 'failed', 'refused', 'canceled', 'broken')),
    kind         text        NOT NULL,
    changed      boolean,
    input_digest bytea       NOT NULL,
    duration_ms  bigint      NOT NULL,
    requested_by text        NOT NULL,
    trigger      text        NOT NULL,
    worker       text        NOT NULL
);
COMMENT ON COLUMN ledger.rows.run IS 'first run ID of the workflow: the same after a reset';
COMMENT ON COLUMN ledger.rows.nth IS 'which time this run does this step to this target';

-- An effect is done once, or was found done once; whoever comes again is confirmed.
CREATE UNIQUE INDEX rows_effect_once ON ledger.rows (effect_key) WHERE outcome IN ('done', 'adopted');

CREATE TABLE ledger.head (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    seq    bigint  NOT NULL,
    hash   bytea   NOT NULL,
    mac    bytea   NOT NULL
);
INSERT INTO ledger.head (seq, hash, mac) VALUES (0, decode(repeat('00', 32), 'hex'), '');

-- Against a slip of the owner's hand; against intent stands the chain.
-- +goose StatementBegin
CREATE FUNCTION ledger.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'the ledger is append-only: no % on %', TG_OP, TG_TABLE_NAME;
END $$;
-- +goose StatementEnd
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse();

GRANT USAGE ON SCHEMA ledger TO hive_ledger;
GRANT SELECT, INSERT ON ledger.rows TO hive_ledger;
GRANT SELECT, UPDATE (seq, hash, mac) ON ledger.head TO hive_ledger;

-- +goose Down
DROP SCHEMA ledger CASCADE;
