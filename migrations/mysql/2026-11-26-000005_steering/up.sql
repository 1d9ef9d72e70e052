-- What an operator wants of a running dispatch, until whoever works on it has seen to that: paused, cancelled.
ALTER TABLE dispatches ADD COLUMN wanted VARCHAR(16);
