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

-- A jsonb cannot have the character of number 0, which a line of output may well have.
CREATE VIEW events AS
SELECT
  run.id AS run, run.workflow, (each.value ->> 'seq')::bigint AS seq, (each.value ->> 'at')::timestamptz AS at,
  (each.value ->> 'elapsed_ms')::double precision AS elapsed_ms, each.value ->> 'type' AS type,
  each.value ->> 'step' AS step, each.value AS body
FROM run
JOIN record ON record.run = run.key
CROSS JOIN LATERAL jsonb_array_elements(replace(record.body, '\u0000', '\ufffd')::jsonb) AS each (value);

-- The steps that began, each as its last event left it.
CREATE VIEW steps AS
WITH event AS (
  SELECT run, workflow, seq, at, type, step, body
  FROM events
  WHERE type IN ('step_start', 'step_retry', 'step_end', 'undo_start', 'undo_end')
), step AS (
  SELECT
    run, workflow, step,
    max(seq) FILTER (WHERE type IN ('step_start', 'step_retry', 'step_end')) AS last_seq,
    max(seq) FILTER (WHERE type = 'step_end') AS end_seq,
    max(seq) FILTER (WHERE type = 'undo_end' AND body ->> 'status' <> 'skipped') AS undo_seq,
    max((body ->> 'attempt')::integer) FILTER (WHERE type = 'step_start') AS attempts,
    min(at) FILTER (WHERE type = 'step_start') AS started_at
  FROM event
  GROUP BY run, workflow, step
)
SELECT
  step.run, step.workflow, step.step,
  CASE
    WHEN step.undo_seq > step.last_seq THEN undo.body ->> 'status'
    WHEN step.end_seq = step.last_seq THEN done.body ->> 'status'
    ELSE 'running'
  END AS status,
  coalesce(step.attempts, 0) AS attempts,
  step.started_at,
  CASE WHEN step.end_seq = step.last_seq THEN done.at END AS ended_at,
  CASE WHEN step.end_seq = step.last_seq THEN (done.body ->> 'duration_ms')::double precision END AS duration_ms,
  done.body #>> '{error,kind}' AS error_kind,
  done.body #>> '{error,message}' AS error_message,
  coalesce(done.body ? 'output', false) AS has_output
FROM step
LEFT JOIN event AS done ON done.run = step.run AND done.seq = step.end_seq
LEFT JOIN event AS undo ON undo.run = step.run AND undo.seq = step.undo_seq;
