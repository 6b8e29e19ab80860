-- +goose Up
-- Tasks that ended (completed or dead), written in batches behind the hot path.
-- The id is the task's own (UUIDv7), so a batch written twice changes nothing.
CREATE TABLE finished_tasks (
    id              uuid        PRIMARY KEY,
    idempotency_key text        NOT NULL,
    queue           text        NOT NULL,
    handler         text        NOT NULL,
    capabilities    text[]      NOT NULL,
    priority        smallint    NOT NULL,
    deadline        timestamptz,
    max_attempts    smallint    NOT NULL,
    payload         bytea       NOT NULL,
    state           text        NOT NULL CHECK (state IN ('completed', 'dead')),
    attempt         integer     NOT NULL,
    failures        integer     NOT NULL,
    agent           text        NOT NULL,
    submitted_at    timestamptz NOT NULL,
    started_at      timestamptz,
    finished_at     timestamptz NOT NULL,
    result          bytea       NOT NULL,
    error           text        NOT NULL
);
CREATE INDEX finished_tasks_queue_finished_at ON finished_tasks (queue, finished_at);
CREATE INDEX finished_tasks_dead ON finished_tasks (finished_at) WHERE state = 'dead';

-- +goose Down
DROP TABLE finished_tasks;
