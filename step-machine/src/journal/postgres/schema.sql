-- Whoever has the journal open and drives runs: a session of each holds the advisory lock of its key.
CREATE TABLE owner (
  key bigint PRIMARY KEY,
  host text NOT NULL,
  pid bigint NOT NULL,
  since timestamptz NOT NULL
);

-- Keys are never given twice: an old lease of a run that was removed fits no other one.
CREATE TABLE run (
  key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL UNIQUE,
  -- Null until the first event.
  workflow text,
  status text,
  labels jsonb NOT NULL DEFAULT '{}',
  metadata jsonb NOT NULL DEFAULT '{}',
  parent text,
  error text,
  started_at timestamptz,
  -- The number of the last event when this row was written: later there are more, never fewer.
  last_seq bigint NOT NULL DEFAULT 0,
  epoch bigint NOT NULL,
  owner bigint REFERENCES owner (key),
  abandoned_why text,
  abandoned_at timestamptz
);

CREATE INDEX run_unfinished ON run (status) WHERE status IN ('running', 'rolling_back');
CREATE INDEX run_parent ON run (parent) WHERE parent IS NOT NULL;
CREATE INDEX run_owner ON run (owner) WHERE owner IS NOT NULL;

-- What was appended at once. The time, the percentage and the phase are those after its last event. The body is text
-- since its checksum is that of the text. That the run is there is seen to by what writes, which locks it anyway.
CREATE TABLE record (
  run bigint NOT NULL,
  first_seq bigint NOT NULL,
  last_seq bigint NOT NULL,
  epoch bigint NOT NULL,
  at timestamptz NOT NULL,
  percentage double precision NOT NULL,
  phase text,
  checksum bigint NOT NULL,
  body text NOT NULL,
  PRIMARY KEY (run, first_seq)
);

-- The names of things that only one run at a time may touch.
CREATE TABLE exclusive (
  name text PRIMARY KEY,
  run bigint NOT NULL REFERENCES run (key)
);

CREATE INDEX exclusive_of_run ON exclusive (run);

CREATE VIEW runs AS
SELECT
  run.id, run.workflow, last.phase, last.percentage AS progress, run.status, run.metadata, run.labels, run.parent,
  run.error, run.started_at, last.at AS updated_at, owner.host AS owner_host, owner.pid AS owner_pid,
  run.abandoned_why, run.abandoned_at
FROM run
CROSS JOIN LATERAL (
  SELECT record.phase, record.percentage, record.at
  FROM record
  WHERE record.run = run.key
  ORDER BY record.first_seq DESC
  LIMIT 1
) AS last
LEFT JOIN owner ON owner.key = run.owner
WHERE run.workflow IS NOT NULL;

-- A jsonb cannot have the character of number 0, which a line of output may well have. A backslash that stands for itself
-- is two of them, which are set aside meanwhile as a character that no JSON has.
CREATE VIEW events AS
SELECT
  run.id AS run, run.workflow, (each.value ->> 'seq')::bigint AS seq, (each.value ->> 'at')::timestamptz AS at,
  (each.value ->> 'elapsed_ms')::double precision AS elapsed_ms, each.value ->> 'type' AS type,
  each.value ->> 'step' AS step, each.value AS body
FROM run
JOIN record ON record.run = run.key
CROSS JOIN LATERAL jsonb_array_elements(
  replace(replace(replace(record.body, '\\', chr(1)), '\u0000', '\ufffd'), chr(1), '\\')::jsonb
) AS each (value);

-- The steps that began or were skipped, each as its last event left it.
CREATE VIEW steps AS
WITH step AS (
  SELECT
    run, workflow, step,
    min(seq) AS seq,
    max(seq) FILTER (WHERE type IN ('step_start', 'step_retry', 'step_end')) AS last_seq,
    (array_agg(body ORDER BY seq DESC) FILTER (WHERE type = 'step_end'))[1] AS done,
    (array_agg(body ORDER BY seq DESC) FILTER (WHERE type = 'undo_end' AND body ->> 'status' <> 'skipped'))[1] AS undo,
    max((body ->> 'attempt')::integer) FILTER (WHERE type = 'step_start') AS attempts,
    min(at) FILTER (WHERE type = 'step_start') AS started_at
  FROM events
  WHERE type IN ('step_start', 'step_retry', 'step_end', 'undo_start', 'undo_end')
  GROUP BY run, workflow, step
), seen AS (
  SELECT step.*, (done ->> 'seq')::bigint = last_seq AS is_done, (undo ->> 'seq')::bigint > last_seq AS is_undone
  FROM step
)
SELECT
  run, workflow, step, seq,
  CASE WHEN is_undone THEN undo ->> 'status' WHEN is_done THEN done ->> 'status' ELSE 'running' END AS status,
  coalesce(attempts, 0) AS attempts,
  started_at,
  CASE WHEN is_done THEN (done ->> 'at')::timestamptz END AS ended_at,
  CASE WHEN is_done THEN (done ->> 'duration_ms')::double precision END AS duration_ms,
  done #>> '{error,kind}' AS error_kind,
  done #>> '{error,message}' AS error_message,
  coalesce(done ?| ARRAY['output', 'sealed'], false) AS has_output
FROM seen;
