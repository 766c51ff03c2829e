-- serves: 1
CREATE TABLE moa_owners (
  owner text PRIMARY KEY,
  renewed timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- Neither the owner nor the last sequence is indexed, so that the update of every write stays within its page.
CREATE TABLE moa_runs (
  run_id text PRIMARY KEY,
  caller text NOT NULL,
  request_id text,  -- null when the caller gave none
  fingerprint text NOT NULL,
  ticket bytea NOT NULL,
  owner text NOT NULL,  -- empty when released
  epoch bigint NOT NULL DEFAULT 1,
  last_sequence bigint NOT NULL DEFAULT 0,  -- of this epoch
  state text NOT NULL DEFAULT 'running',
  cancel_asked text NOT NULL DEFAULT '',
  watched timestamptz,  -- when a server last noted that a caller of its own watches
  bytes bigint NOT NULL,
  usage bytea,
  created timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended timestamptz,
  content boolean NOT NULL DEFAULT true  -- whether messages and events are still there
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX moa_runs_by_request ON moa_runs (caller, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX moa_runs_running ON moa_runs (created) WHERE state = 'running';
CREATE INDEX moa_runs_to_cancel ON moa_runs (run_id) WHERE state = 'running' AND cancel_asked <> '';
CREATE INDEX moa_runs_ended ON moa_runs (ended) WHERE ended IS NOT NULL;
CREATE INDEX moa_runs_with_content ON moa_runs (ended) WHERE ended IS NOT NULL AND content;

-- Without foreign keys: they would cost a look-up for every append. Plans and events go in the statement that removes a run.
CREATE TABLE moa_plans (
  run_id text PRIMARY KEY,
  plan bytea NOT NULL
);

CREATE TABLE moa_events (
  run_id text NOT NULL,
  epoch bigint NOT NULL,
  last bigint NOT NULL,  -- the sequence of the last event of this piece
  piece bytea NOT NULL,  -- consecutive events
  PRIMARY KEY (run_id, epoch, last)
);
