-- What a request with an Idempotency-Key was answered: the same request gets the same answer for a day.
CREATE TABLE idempotency (
    id_key     TEXT PRIMARY KEY NOT NULL,
    body_hash  TEXT NOT NULL,
    answer     TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- A dispatch is looked for by its publisher's id.
CREATE INDEX dispatches_by_message ON dispatches (message_id);
