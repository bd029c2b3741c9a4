-- Whoever has the journal open and drives runs: each holds a file of this id, next to the database, locked.
CREATE TABLE owner (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  since TEXT NOT NULL
) STRICT;

-- Keys are never given twice: an old lease of a run that was removed fits no other one.
CREATE TABLE run (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  -- Null until the first event.
  workflow TEXT,
  status TEXT,
  labels TEXT NOT NULL DEFAULT '{}',
  metadata TEXT NOT NULL DEFAULT '{}',
  parent TEXT,
  error TEXT,
  started_at TEXT,
  -- The number of the last event when this row was written: later there are more, never fewer.
  last_seq INTEGER NOT NULL DEFAULT 0,
  epoch INTEGER NOT NULL,
  owner INTEGER REFERENCES owner (key),
  abandoned_why TEXT,
  abandoned_at TEXT
) STRICT;

CREATE INDEX run_unfinished ON run (status) WHERE status IN ('running', 'rolling_back');
CREATE INDEX run_parent ON run (parent) WHERE parent IS NOT NULL;
CREATE INDEX run_owner ON run (owner) WHERE owner IS NOT NULL;

-- What was appended at once, in the order of arrival, so that what many runs write stands on few pages. The time, the
-- percentage and the phase are those after its last event.
CREATE TABLE record (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (key),
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  at_us INTEGER NOT NULL,
  percentage REAL NOT NULL,
  phase TEXT,
  checksum INTEGER NOT NULL,
  body TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX record_of_run ON record (run, first_seq);

-- The names of things that only one run at a time may touch.
CREATE TABLE exclusive (
  name TEXT PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (key)
) STRICT, WITHOUT ROWID;

CREATE INDEX exclusive_of_run ON exclusive (run);

CREATE VIEW runs AS
SELECT
  run.id, run.workflow, last.phase, last.percentage AS progress, run.status, run.metadata, run.labels, run.parent,
  run.error, run.started_at,
  strftime('%Y-%m-%dT%H:%M:%S', last.at_us / 1000000, 'unixepoch') || printf('.%06dZ', last.at_us % 1000000)
    AS updated_at,
  owner.host AS owner_host, owner.pid AS owner_pid, run.abandoned_why, run.abandoned_at
FROM run
JOIN record AS last
  ON last.id = (SELECT id FROM record WHERE record.run = run.key ORDER BY record.first_seq DESC LIMIT 1)
LEFT JOIN owner ON owner.key = run.owner
WHERE run.workflow IS NOT NULL;

CREATE VIEW events AS
SELECT
  run.id AS run, run.workflow, each.value ->> 'seq' AS seq, each.value ->> 'at' AS at,
  each.value ->> 'elapsed_ms' AS elapsed_ms, each.value ->> 'type' AS type, each.value ->> 'step' AS step,
  each.value AS body
FROM run
JOIN record ON record.run = run.key
JOIN json_each(record.body) AS each;

-- The steps that began, each as its last event left it.
CREATE VIEW steps AS
WITH event AS (
  SELECT run, workflow, seq, at, type, step, body
  FROM events
  WHERE type IN ('step_start', 'step_retry', 'step_end', 'undo_start', 'undo_end')
), step AS (
  SELECT
    run, workflow, step,
    min(seq) AS first_seq,
    max(CASE WHEN type IN ('step_start', 'step_retry', 'step_end') THEN seq END) AS last_seq,
    max(CASE WHEN type = 'step_end' THEN seq END) AS end_seq,
    max(CASE WHEN type = 'undo_end' AND body ->> 'status' <> 'skipped' THEN seq END) AS undo_seq,
    max(CASE WHEN type = 'step_start' THEN body ->> 'attempt' END) AS attempts,
    min(CASE WHEN type = 'step_start' THEN at END) AS started_at
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
  CASE WHEN step.end_seq = step.last_seq THEN done.body ->> 'duration_ms' END AS duration_ms,
  done.body ->> '$.error.kind' AS error_kind,
  done.body ->> '$.error.message' AS error_message,
  json_type(done.body, '$.output') IS NOT NULL AS has_output
FROM step
LEFT JOIN event AS done ON done.run = step.run AND done.seq = step.end_seq
LEFT JOIN event AS undo ON undo.run = step.run AND undo.seq = step.undo_seq;
