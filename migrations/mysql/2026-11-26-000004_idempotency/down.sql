DROP INDEX dispatches_by_message ON dispatches;
DROP TABLE idempotency;
