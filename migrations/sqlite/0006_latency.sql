-- How long the partner took to answer, in nanoseconds, read from the line itself:
-- nothing has to be written again for it.
ALTER TABLE syncs ADD COLUMN latency INTEGER GENERATED ALWAYS AS (json_extract(CAST(body AS TEXT), '$.latency_ns')) VIRTUAL;
