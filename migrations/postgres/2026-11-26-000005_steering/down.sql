ALTER TABLE dispatches DROP COLUMN wanted;
