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
  -- The CRC-32 of the id: finds the run where the index of ids is damaged, so that it does not seem to be none.
  id_check INTEGER NOT NULL,
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

CREATE INDEX run_id_check ON run (id_check);
CREATE INDEX run_unfinished ON run (status) WHERE status IN ('running', 'rolling_back');
CREATE INDEX run_parent ON run (parent) WHERE parent IS NOT NULL;
CREATE INDEX run_owner ON run (owner) WHERE owner IS NOT NULL;

-- What was appended at once, in the order of arrival, so that what many runs write stands on few pages; and what a run
-- that was alone appended next, until the row is full. The time, the percentage and the phase are those after its last
-- event. What has a greater id was written later, and no id is given twice that is placed.
CREATE TABLE record (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  at_us INTEGER NOT NULL,
  percentage REAL NOT NULL,
  phase TEXT,
  checksum INTEGER NOT NULL,
  body TEXT NOT NULL
) STRICT;

-- Where the rows of a run stand, but for the newest: an index, written for many commits at once.
CREATE TABLE place (
  run INTEGER NOT NULL,
  record INTEGER NOT NULL,
  PRIMARY KEY (run, record)
) STRICT, WITHOUT ROWID;

-- All rows up to this one are in place, and none after it. The checksum is the CRC-32 of the number's eight bytes, the
-- least first.
CREATE TABLE placed (
  key INTEGER PRIMARY KEY CHECK (key = 1),
  upto INTEGER NOT NULL,
  checksum INTEGER NOT NULL
) STRICT;

INSERT INTO placed (key, upto, checksum) VALUES (1, 0, 1696784233);

-- The names of things that only one run at a time may touch.
CREATE TABLE exclusive (
  name TEXT PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (key)
) STRICT, WITHOUT ROWID;

CREATE INDEX exclusive_of_run ON exclusive (run);

-- The rows of each run that are not in place yet. They are gathered once: in a union with those that are, a condition on
-- the run would not reach either.
CREATE VIEW behind AS
SELECT run, max(id) AS last, json_group_array(id) AS records
FROM record
WHERE id > (SELECT upto FROM placed)
GROUP BY run;

CREATE VIEW runs AS
SELECT
  run.id, run.workflow, last.phase, last.percentage AS progress, run.status, run.metadata, run.labels, run.parent,
  run.error, run.started_at,
  strftime('%Y-%m-%dT%H:%M:%S', last.at_us / 1000000, 'unixepoch') || printf('.%06dZ', last.at_us % 1000000)
    AS updated_at,
  owner.host AS owner_host, owner.pid AS owner_pid, run.abandoned_why, run.abandoned_at
FROM run
LEFT JOIN behind ON behind.run = run.key
JOIN record AS last
  ON last.id = coalesce(behind.last, (SELECT max(record) FROM place WHERE place.run = run.key))
LEFT JOIN owner ON owner.key = run.owner
WHERE run.workflow IS NOT NULL;

CREATE VIEW events AS
SELECT
  run.id AS run, run.workflow, each.value ->> 'seq' AS seq, each.value ->> 'at' AS at,
  each.value ->> 'elapsed_ms' AS elapsed_ms, each.value ->> 'type' AS type, each.value ->> 'step' AS step,
  each.value AS body
FROM run
LEFT JOIN behind ON behind.run = run.key
-- Run by run, and its rows by their ids. Otherwise SQLite may make an index of the whole table for this (the plus keeps it from
-- that), or look for all rows of a run again for each of them.
CROSS JOIN record ON +record.run = run.key AND record.id IN (
  SELECT place.record FROM place WHERE place.run = run.key UNION ALL SELECT value FROM json_each(behind.records)
)
JOIN json_each(record.body) AS each;

-- The steps that began or were skipped, each as its last event left it. The last body of a kind is found as the largest
-- text that begins with its number: so all comes from one pass, and a condition on the run reaches the events.
CREATE VIEW steps AS
WITH step AS (
  SELECT
    run, workflow, step,
    min(seq) AS seq,
    max(CASE WHEN type IN ('step_start', 'step_retry', 'step_end') THEN seq END) AS last_seq,
    max(CASE WHEN type = 'step_end' THEN printf('%015d', seq) || body END) AS done,
    max(CASE WHEN type = 'undo_end' AND body ->> 'status' <> 'skipped' THEN printf('%015d', seq) || body END) AS undo,
    max(CASE WHEN type = 'step_start' THEN body ->> 'attempt' END) AS attempts,
    min(CASE WHEN type = 'step_start' THEN at END) AS started_at
  FROM events
  WHERE type IN ('step_start', 'step_retry', 'step_end', 'undo_start', 'undo_end')
  GROUP BY run, workflow, step
), seen AS (
  SELECT
    run, workflow, step, seq, last_seq, attempts, started_at,
    CAST(substr(done, 1, 15) AS INTEGER) AS done_seq, substr(done, 16) AS done,
    CAST(substr(undo, 1, 15) AS INTEGER) AS undo_seq, substr(undo, 16) AS undo
  FROM step
)
SELECT
  run, workflow, step, seq,
  CASE
    WHEN undo_seq > last_seq THEN undo ->> 'status'
    WHEN done_seq = last_seq THEN done ->> 'status'
    ELSE 'running'
  END AS status,
  coalesce(attempts, 0) AS attempts,
  started_at,
  CASE WHEN done_seq = last_seq THEN done ->> 'at' END AS ended_at,
  CASE WHEN done_seq = last_seq THEN done ->> 'duration_ms' END AS duration_ms,
  done ->> '$.error.kind' AS error_kind,
  done ->> '$.error.message' AS error_message,
  coalesce(json_type(done, '$.output'), json_type(done, '$.sealed')) IS NOT NULL AS has_output
FROM seen;
