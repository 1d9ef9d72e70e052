-- Whose relay and webhook a dispatch uses, and how many equal messages were held back before it.
ALTER TABLE dispatches ADD COLUMN sender TEXT NOT NULL DEFAULT 'environment';
ALTER TABLE dispatches ADD COLUMN held_back BIGINT NOT NULL DEFAULT 0;
CREATE INDEX dispatches_by_order ON dispatches (order_id);
CREATE INDEX dispatches_by_tenant ON dispatches (tenant_id);

-- Equal messages are held back until `ends_at`, after the one that `dispatch_id` tells.
CREATE TABLE cooldowns (
    cooldown_key TEXT PRIMARY KEY NOT NULL,
    dispatch_id  TEXT NOT NULL,
    ends_at      TIMESTAMP NOT NULL,
    held_back    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX cooldowns_by_dispatch ON cooldowns (dispatch_id);
CREATE INDEX cooldowns_by_end ON cooldowns (ends_at);
