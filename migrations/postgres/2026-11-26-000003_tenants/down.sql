DROP TABLE cooldowns;
DROP INDEX dispatches_by_tenant;
DROP INDEX dispatches_by_order;
ALTER TABLE dispatches DROP COLUMN held_back;
ALTER TABLE dispatches DROP COLUMN sender;
