"""The statements of the PostgreSQL journal. Each is atomic by itself, and every moment in them is the store's."""

RUN = """
SELECT run_id, ticket, plan, state, epoch, owner, fingerprint, created, cancel_asked, usage, owners_lost, trial,
  false AS after_loss, extract(epoch FROM clock_timestamp() - created)::float8 AS age_s,
  coalesce(extract(epoch FROM clock_timestamp() - watched), 'Infinity')::float8 AS unwatched_s
FROM moa_runs JOIN moa_plans USING (run_id)
"""

SUBMIT = """
WITH registered AS (
  INSERT INTO moa_runs (run_id, caller, request_id, fingerprint, ticket, owner, bytes)
  VALUES ($1, $2, $3, $4, $5, $6, length($7::bytea))
  ON CONFLICT DO NOTHING RETURNING run_id, created
), planned AS (
  INSERT INTO moa_plans SELECT run_id, $7 FROM registered
), renewed AS (
  INSERT INTO moa_owners (owner) SELECT $6 FROM registered
  WHERE NOT EXISTS (  -- so that submissions at once do not wait for one another
    SELECT FROM moa_owners WHERE owner = $6 AND renewed > clock_timestamp() - make_interval(secs => $8)
  )
  ON CONFLICT (owner) DO UPDATE SET renewed = clock_timestamp()
)
SELECT created FROM registered
"""

WRITE = """
WITH renewed AS (
  INSERT INTO moa_owners (owner) VALUES ($1) ON CONFLICT (owner) DO UPDATE SET renewed = clock_timestamp()
), given AS (
  SELECT * FROM unnest(
    $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::text[], $8::bytea[], $9::boolean[]
  ) AS given (run_id, epoch, first, last, piece, state, usage, closes)
), held AS (
  UPDATE moa_runs SET last_sequence = given.last, bytes = bytes + length(given.piece), state = given.state,
    usage = given.usage, trial = CASE WHEN given.closes THEN '' ELSE trial END,
    ended = CASE WHEN given.state <> 'running' THEN clock_timestamp() END
  FROM given
  WHERE moa_runs.run_id = given.run_id AND moa_runs.epoch = given.epoch AND moa_runs.owner = $1
    AND moa_runs.state = 'running' AND moa_runs.last_sequence = given.first - 1
  RETURNING moa_runs.run_id, moa_runs.last_sequence
), stored AS (
  INSERT INTO moa_events SELECT given.run_id, given.epoch, given.last, given.piece
  FROM given JOIN held ON held.run_id = given.run_id AND held.last_sequence = given.last
)
SELECT run_id, last_sequence, NULL AS cancel_asked FROM held
UNION ALL SELECT run_id, NULL, cancel_asked FROM moa_runs WHERE state = 'running' AND cancel_asked <> '' AND owner = $1
UNION ALL SELECT NULL, NULL, pg_notify('moa_runs', told)::text FROM unnest($10::text[]) AS told
"""
"""Takes what follows directly on what is there, from the right owner in the right epoch, and says what it took."""

HELD = "SELECT run_id, owner, epoch, last_sequence, state FROM moa_runs WHERE run_id = ANY($1)"

CLAIM = """
WITH silent AS (  -- the lock keeps them from being renewed until their runs are claimed
  SELECT moa_owners.owner, blamed FROM moa_owners LEFT JOIN moa_fallen ON moa_fallen.owner = moa_owners.owner
  WHERE moa_owners.owner <> $1
    AND (blamed IS NOT NULL OR $3 AND renewed < clock_timestamp() - make_interval(secs => $4))
    AND EXISTS (SELECT FROM moa_runs WHERE state = 'running' AND moa_runs.owner = moa_owners.owner)
  FOR SHARE OF moa_owners SKIP LOCKED
), chosen AS (  -- those to be tried come last
  SELECT moa_runs.run_id, created, after_loss, next FROM moa_runs LEFT JOIN silent ON silent.owner = moa_runs.owner,
    LATERAL (SELECT moa_runs.owner NOT IN ('', $1) AS after_loss, CASE
      WHEN trial = 'failed' OR trial = 'open' AND blamed = run_id THEN 'failed'
      WHEN trial = 'open' OR blamed = run_id THEN 'open'
      WHEN moa_runs.owner NOT IN ('', $1) AND owners_lost + 1 >= $7 AND coalesce(blamed, '') = '' THEN 'open'
      ELSE ''
    END AS next) AS judged
  WHERE state = 'running' AND ($8 OR next <> 'open') AND run_id <> ALL ($9::text[]) AND (
    moa_runs.owner <> $1 AND (moa_runs.owner = '' OR silent.owner IS NOT NULL)
    OR $5 AND moa_runs.owner = $1 AND epoch > 1 AND last_sequence = 0 AND run_id <> ALL ($6::text[])
  )
  ORDER BY next = 'open', created LIMIT $2 FOR UPDATE OF moa_runs SKIP LOCKED
), alone AS (  -- one to be tried, where there is no other
  SELECT run_id, after_loss, next FROM chosen WHERE next <> 'open'
  UNION ALL (
    SELECT run_id, after_loss, next FROM chosen
    WHERE NOT EXISTS (SELECT FROM chosen WHERE next <> 'open') ORDER BY created LIMIT 1
  )
), claimed AS (
  UPDATE moa_runs SET owner = $1, epoch = epoch + 1, last_sequence = 0, trial = alone.next,
    owners_lost = owners_lost + alone.after_loss::int
  FROM alone WHERE moa_runs.run_id = alone.run_id
  RETURNING moa_runs.*, alone.after_loss
), renewed AS (
  INSERT INTO moa_owners (owner) SELECT $1 FROM claimed LIMIT 1
  ON CONFLICT (owner) DO UPDATE SET renewed = clock_timestamp()
)
SELECT run_id, ticket, plan, state, epoch, owner, fingerprint, created, cancel_asked, usage, owners_lost, trial,
  after_loss, extract(epoch FROM clock_timestamp() - created)::float8 AS age_s,
  coalesce(extract(epoch FROM clock_timestamp() - watched), 'Infinity')::float8 AS unwatched_s
FROM claimed JOIN moa_plans USING (run_id) ORDER BY created
"""

RENEW = """
UPDATE moa_owners SET renewed = clock_timestamp()
WHERE owner = $1 AND renewed >= clock_timestamp() - make_interval(secs => $2)
  AND NOT EXISTS (SELECT FROM moa_fallen WHERE moa_fallen.owner = $1)
RETURNING owner
"""
"""Renews an ownership that has not lapsed."""

FALL = "INSERT INTO moa_fallen (owner, blamed) VALUES ($1, $2) ON CONFLICT DO NOTHING"

RELEASE = "UPDATE moa_runs SET owner = '' WHERE run_id = ANY($2) AND owner = $1 AND state = 'running'"

CANCEL = """
WITH asked AS (
  UPDATE moa_runs SET cancel_asked = $2 WHERE run_id = $1 AND state = 'running' AND cancel_asked = '' RETURNING owner
)
SELECT pg_notify('moa_runs', owner) FROM asked WHERE owner <> ''
"""

NOTE_WATCHED = """
UPDATE moa_runs SET watched = clock_timestamp() WHERE run_id = ANY($1) AND state = 'running'
"""

READ = """
SELECT content, piece, at_epoch, last FROM moa_runs LEFT JOIN LATERAL (
  SELECT moa_events.epoch, last, piece FROM moa_events
  WHERE moa_events.run_id = $1 AND (moa_events.epoch, last) > ($2, $3) ORDER BY moa_events.epoch, last LIMIT $4
) AS pieces (at_epoch, last, piece) ON true
WHERE run_id = $1 ORDER BY at_epoch, last
"""

PLACES = """
SELECT run_id AS name, epoch, last_sequence, content FROM moa_runs WHERE run_id = ANY($1)
UNION ALL SELECT owner, count(*), 0, true FROM moa_runs
WHERE state = 'running' AND cancel_asked <> '' AND owner = ANY($1) GROUP BY owner
"""

_REMOVE = """
, events AS (DELETE FROM moa_events USING stale WHERE moa_events.run_id = stale.run_id)
, plans AS (DELETE FROM moa_plans USING stale WHERE moa_plans.run_id = stale.run_id)
DELETE FROM moa_runs USING stale WHERE moa_runs.run_id = stale.run_id RETURNING moa_runs.run_id
"""

_AGED = """
WITH stale AS (
  SELECT run_id FROM moa_runs WHERE ended < clock_timestamp() - make_interval(secs => $1)
  ORDER BY ended LIMIT $2 FOR UPDATE SKIP LOCKED
)"""
PURGE_AGED = _AGED + _REMOVE

_EXCESS = """
WITH stale AS (
  SELECT run_id FROM (
    SELECT run_id, ended,
      row_number() OVER newest AS n, sum(bytes) OVER newest AS size,
      row_number() OVER own AS own_n, sum(bytes) OVER own AS own_size
    FROM moa_runs WHERE ended IS NOT NULL
    WINDOW newest AS (ORDER BY ended DESC, run_id), own AS (PARTITION BY caller ORDER BY ended DESC, run_id)
  ) AS counted WHERE n > $1 OR size > $2 OR own_n > $3 OR own_size > $4
  ORDER BY ended LIMIT $5
)"""
PURGE_EXCESS = _EXCESS + _REMOVE

PAST_CONTENT = """
SELECT run_id, plan FROM moa_runs JOIN moa_plans USING (run_id)
WHERE content AND ended < clock_timestamp() - make_interval(secs => $1) ORDER BY ended LIMIT $2
"""

DROP_CONTENT = """
WITH dropped AS (
  SELECT * FROM unnest($1::text[], $2::bytea[]) AS dropped (run_id, plan)
), plans AS (
  UPDATE moa_plans SET plan = dropped.plan FROM dropped WHERE moa_plans.run_id = dropped.run_id
), events AS (
  DELETE FROM moa_events USING dropped WHERE moa_events.run_id = dropped.run_id
)
UPDATE moa_runs SET content = false, bytes = length(dropped.plan) FROM dropped
WHERE moa_runs.run_id = dropped.run_id AND content RETURNING moa_runs.run_id
"""

PURGE_OWNERS = """
WITH fallen AS (
  DELETE FROM moa_fallen WHERE owner NOT IN (SELECT owner FROM moa_owners)
)
DELETE FROM moa_owners WHERE renewed < clock_timestamp() - interval '1 day'
  AND NOT EXISTS (SELECT FROM moa_runs WHERE moa_runs.owner = moa_owners.owner AND state = 'running')
"""

CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"

SILENCE_AHEAD = "UPDATE moa_owners SET renewed = '-infinity' WHERE renewed > clock_timestamp()"
