ALTER TABLE dispatches DROP COLUMN acking;
