DROP TABLE completions;
ALTER TABLE dispatches DROP COLUMN notice_source;
