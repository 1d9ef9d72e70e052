DROP INDEX dispatches_by_message;
DROP TABLE idempotency;
