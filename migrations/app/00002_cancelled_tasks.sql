-- +goose NO TRANSACTION
-- +goose Up
-- A task may also end by being taken back before it ran. The table may be large, so
-- its rows are not read under the lock that changes the check: they pass, because
-- the new check allows all that the old one did. Killed between the two, it runs again.
ALTER TABLE finished_tasks
    DROP CONSTRAINT finished_tasks_state_check,
    ADD CONSTRAINT finished_tasks_state_check CHECK (state IN ('completed', 'dead', 'cancelled')) NOT VALID;
ALTER TABLE finished_tasks VALIDATE CONSTRAINT finished_tasks_state_check;

-- +goose Down
-- Cancelled tasks stay, as dead ones: their error says "cancelled".
ALTER TABLE finished_tasks
    DROP CONSTRAINT finished_tasks_state_check,
    ADD CONSTRAINT finished_tasks_state_check CHECK (state IN ('completed', 'dead')) NOT VALID;
UPDATE finished_tasks SET state = 'dead' WHERE state = 'cancelled';
ALTER TABLE finished_tasks VALIDATE CONSTRAINT finished_tasks_state_check;
