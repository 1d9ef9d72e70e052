-- Filled by other systems with three columns; the rest has defaults.
CREATE TABLE participants (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id        BIGINT NOT NULL,
    email           TEXT NOT NULL,
    name            TEXT NOT NULL,
    locale          TEXT,
    timezone        TEXT,
    unsubscribed_at TIMESTAMP,
    created_at      TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX participants_by_event ON participants (event_id, id);

CREATE TABLE events (
    id         INTEGER PRIMARY KEY,
    title      TEXT,
    starts_at  TIMESTAMP,
    ends_at    TIMESTAMP,
    timezone   TEXT,
    location   TEXT,
    url        TEXT,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- One accepted message.
CREATE TABLE dispatches (
    id                    TEXT PRIMARY KEY NOT NULL,
    message_key           TEXT NOT NULL UNIQUE,
    body_hash             TEXT NOT NULL,
    message_id            TEXT,
    body                  BLOB NOT NULL,
    type                  TEXT NOT NULL,
    tenant_id             TEXT,
    event_id              BIGINT,
    order_id              TEXT,
    version               BIGINT,
    plan                  TEXT NOT NULL,
    subject               TEXT NOT NULL,
    status                TEXT NOT NULL,
    last_participant_id   BIGINT NOT NULL,
    cursor_participant_id BIGINT NOT NULL DEFAULT 0,
    lease_token           TEXT,
    lease_beat            BIGINT NOT NULL DEFAULT 0,
    lease_holder          TEXT,
    has_delivery          BOOLEAN NOT NULL,
    ack_proven            BOOLEAN NOT NULL DEFAULT FALSE,
    starts                INTEGER NOT NULL DEFAULT 0,
    vain_starts           INTEGER NOT NULL DEFAULT 0,
    due_at                TIMESTAMP,
    error                 TEXT,
    created_at            TIMESTAMP NOT NULL,
    updated_at            TIMESTAMP NOT NULL,
    closed_at             TIMESTAMP
);
CREATE INDEX dispatches_by_status ON dispatches (status, due_at);
CREATE INDEX dispatches_by_event ON dispatches (event_id);
CREATE INDEX dispatches_by_body ON dispatches (body_hash);

-- One recipient over one channel. No foreign key: rows appear only under the lease of their
-- dispatch, and a check for each row would cost. The unique index also answers "what did this address get?".
CREATE TABLE notifications (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    dispatch_id     TEXT NOT NULL,
    channel         TEXT NOT NULL,
    recipient       TEXT,
    participant_id  BIGINT,
    name            TEXT NOT NULL,
    locale          TEXT,
    message_id      TEXT NOT NULL,
    status          TEXT NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    suspected       INTEGER NOT NULL DEFAULT 0,
    error           TEXT,
    next_attempt_at TIMESTAMP,
    created_at      TIMESTAMP NOT NULL,
    updated_at      TIMESTAMP NOT NULL,
    sent_at         TIMESTAMP
);
CREATE UNIQUE INDEX notifications_once ON notifications (recipient, dispatch_id, channel);
CREATE INDEX notifications_by_status ON notifications (dispatch_id, status, id);
