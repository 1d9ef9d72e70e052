-- Where the message came from (amqp, sqs, dispatch), until its first close has written its notice into the
-- outbox; none from then on, so that a dispatch that is reopened tells nobody again.
ALTER TABLE dispatches ADD COLUMN notice_source VARCHAR(16);
UPDATE dispatches SET notice_source = 'amqp' WHERE closed_at IS NULL;

-- The outbox: what is still to be done for dispatches that were closed. The close writes the row in its own
-- transaction; it goes when the bundle is finalised, the hooks have run and the notices are out.
CREATE TABLE completions (
    completion_key VARCHAR(128) PRIMARY KEY NOT NULL,
    dispatch_id    CHAR(36) NOT NULL UNIQUE,
    recipe_id      VARCHAR(64) NOT NULL,
    value          TEXT NOT NULL,
    notice         BOOLEAN NOT NULL,
    published      VARCHAR(64) NOT NULL DEFAULT '',
    attempts       INTEGER NOT NULL DEFAULT 0,
    next_at        DATETIME(6) NOT NULL,
    error          TEXT,
    claim_token    CHAR(32),
    claim_holder   TEXT,
    claimed_at     DATETIME(6),
    created_at     DATETIME(6) NOT NULL
) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX completions_by_time ON completions (next_at);
