-- Binary collation: the default one takes jose@ and josé@, aB1 and Ab1 for equal.
-- Filled by other systems with three columns; the rest has defaults.
CREATE TABLE participants (
    id              BIGINT AUTO_INCREMENT PRIMARY KEY,
    event_id        BIGINT NOT NULL,
    email           TEXT NOT NULL,
    name            TEXT NOT NULL,
    locale          TEXT,
    timezone        TEXT,
    unsubscribed_at DATETIME(6),
    created_at      DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6))
) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX participants_by_event ON participants (event_id, id);

CREATE TABLE events (
    id         BIGINT PRIMARY KEY,
    title      TEXT,
    starts_at  DATETIME(6),
    ends_at    DATETIME(6),
    timezone   TEXT,
    location   TEXT,
    url        TEXT,
    created_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6))
) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One accepted message.
CREATE TABLE dispatches (
    id                    CHAR(36) PRIMARY KEY NOT NULL,
    message_key           VARCHAR(100) NOT NULL UNIQUE,
    body_hash             CHAR(64) NOT NULL,
    message_id            VARCHAR(255),
    body                  LONGBLOB NOT NULL,
    type                  VARCHAR(64) NOT NULL,
    tenant_id             VARCHAR(63),
    event_id              BIGINT,
    order_id              VARCHAR(255),
    version               BIGINT,
    plan                  LONGTEXT NOT NULL,
    subject               TEXT NOT NULL,
    status                VARCHAR(16) NOT NULL,
    last_participant_id   BIGINT NOT NULL,
    cursor_participant_id BIGINT NOT NULL DEFAULT 0,
    lease_token           CHAR(32),
    lease_beat            BIGINT NOT NULL DEFAULT 0,
    lease_holder          TEXT,
    has_delivery          BOOLEAN NOT NULL,
    ack_proven            BOOLEAN NOT NULL DEFAULT FALSE,
    starts                INTEGER NOT NULL DEFAULT 0,
    vain_starts           INTEGER NOT NULL DEFAULT 0,
    due_at                DATETIME(6),
    error                 TEXT,
    created_at            DATETIME(6) NOT NULL,
    updated_at            DATETIME(6) NOT NULL,
    closed_at             DATETIME(6)
) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX dispatches_by_status ON dispatches (status, due_at);
CREATE INDEX dispatches_by_event ON dispatches (event_id);
CREATE INDEX dispatches_by_body ON dispatches (body_hash);

-- One recipient over one channel. No foreign key: rows appear only under the lease of their
-- dispatch, and a check for each row would cost. The unique index also answers "what did this address get?".
CREATE TABLE notifications (
    id              BIGINT AUTO_INCREMENT PRIMARY KEY,
    dispatch_id     CHAR(36) NOT NULL,
    channel         VARCHAR(16) NOT NULL,
    recipient       VARCHAR(320),
    participant_id  BIGINT,
    name            TEXT NOT NULL,
    locale          TEXT,
    message_id      VARCHAR(320) NOT NULL,
    status          VARCHAR(16) NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    suspected       INTEGER NOT NULL DEFAULT 0,
    error           TEXT,
    next_attempt_at DATETIME(6),
    created_at      DATETIME(6) NOT NULL,
    updated_at      DATETIME(6) NOT NULL,
    sent_at         DATETIME(6)
) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE UNIQUE INDEX notifications_once ON notifications (recipient, dispatch_id, channel);
CREATE INDEX notifications_by_status ON notifications (dispatch_id, status, id);
