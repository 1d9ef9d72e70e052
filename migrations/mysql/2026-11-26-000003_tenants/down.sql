DROP TABLE cooldowns;
DROP INDEX dispatches_by_tenant ON dispatches;
DROP INDEX dispatches_by_order ON dispatches;
ALTER TABLE dispatches DROP COLUMN held_back;
ALTER TABLE dispatches DROP COLUMN sender;
