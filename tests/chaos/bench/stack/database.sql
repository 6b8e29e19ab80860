-- What DatabaseMaintenance finds at the start of every run: a table full of dead rows, a bloated index, and an
-- invalid index under the name that a killed rebuild leaves. A statement a line: the last one must fail by itself.
DROP SCHEMA IF EXISTS shop CASCADE
CREATE EXTENSION IF NOT EXISTS pgstattuple
CREATE SCHEMA shop
CREATE TABLE shop.sparse (id int, note text)
INSERT INTO shop.sparse SELECT i, md5(i::text) FROM generate_series(1, 20000) i
CREATE INDEX sparse_note ON shop.sparse (note)
DELETE FROM shop.sparse WHERE id % 10 <> 0
VACUUM (ANALYZE) shop.sparse
CREATE TABLE shop.orders (id int, kind int)
INSERT INTO shop.orders SELECT i, i % 7 FROM generate_series(1, 8000) i
VACUUM (ANALYZE) shop.orders
DELETE FROM shop.orders WHERE id % 3 = 0
CREATE UNIQUE INDEX CONCURRENTLY orders_kind_ccnew ON shop.orders (kind)
