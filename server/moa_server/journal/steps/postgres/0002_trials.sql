-- serves: 1
-- An older server leaves these as they are: it counts no loss, begins no trial, and ends none.
ALTER TABLE moa_runs
  ADD COLUMN owners_lost bigint NOT NULL DEFAULT 0,  -- to silence; those that handed it over not counted
  ADD COLUMN trial text NOT NULL DEFAULT '';  -- open: until it closes a layer; failed: not to be carried out

-- Apart from the owners: whoever says that it falls waits for no lock that its own last write may still hold.
CREATE TABLE moa_fallen (
  owner text PRIMARY KEY,  -- its event loop was held until it ended itself
  blamed text NOT NULL  -- the run whose work held it; empty when nobody knows
);
