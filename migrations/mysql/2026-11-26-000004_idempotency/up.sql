-- What a request with an Idempotency-Key was answered: the same request gets the same answer for a day.
CREATE TABLE idempotency (
    id_key     CHAR(64) PRIMARY KEY NOT NULL,
    body_hash  CHAR(64) NOT NULL,
    answer     TEXT NOT NULL,
    created_at DATETIME(6) NOT NULL
) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- A dispatch is looked for by its publisher's id.
CREATE INDEX dispatches_by_message ON dispatches (message_id);
