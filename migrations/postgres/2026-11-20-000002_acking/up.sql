-- The process that has begun to ack the message of a dispatch, until that is proven. Messages without id only.
ALTER TABLE dispatches ADD COLUMN acking TEXT;
