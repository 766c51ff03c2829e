-- serves: 1
CREATE TABLE owners (
  owner TEXT PRIMARY KEY,
  renewed REAL NOT NULL  -- seconds of the machine's monotonic clock, which all its processes share
) WITHOUT ROWID;

CREATE TABLE runs (
  run_id TEXT PRIMARY KEY,
  caller TEXT NOT NULL,
  request_id TEXT,  -- null when the caller gave none
  fingerprint TEXT NOT NULL,
  ticket BLOB NOT NULL,
  owner TEXT NOT NULL,  -- empty when released
  epoch INTEGER NOT NULL,
  last_sequence INTEGER NOT NULL,  -- of this epoch
  state TEXT NOT NULL,
  cancel_asked TEXT NOT NULL DEFAULT '',
  watched REAL,  -- by the clock of the owners
  bytes INTEGER NOT NULL,
  usage BLOB,
  created REAL NOT NULL,  -- seconds since 1970
  ended REAL,
  content INTEGER NOT NULL DEFAULT 1  -- whether messages and events are still there
);
CREATE UNIQUE INDEX runs_by_request ON runs (caller, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX runs_running ON runs (created) WHERE state = 'running';
CREATE INDEX runs_to_cancel ON runs (run_id) WHERE state = 'running' AND cancel_asked <> '';
CREATE INDEX runs_ended ON runs (ended) WHERE ended IS NOT NULL;
CREATE INDEX runs_with_content ON runs (ended) WHERE ended IS NOT NULL AND content = 1;

CREATE TABLE plans (
  run_id TEXT PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
  plan BLOB NOT NULL
);

CREATE TABLE events (
  run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
  epoch INTEGER NOT NULL,
  last INTEGER NOT NULL,  -- the sequence of the last event of this piece
  piece BLOB NOT NULL,  -- consecutive events
  PRIMARY KEY (run_id, epoch, last)
);
