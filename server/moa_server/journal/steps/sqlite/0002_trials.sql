-- serves: 1
-- An older server leaves these as they are: it counts no loss, begins no trial, and ends none.
ALTER TABLE runs ADD COLUMN owners_lost INTEGER NOT NULL DEFAULT 0;  -- to silence; those that handed it over not counted
ALTER TABLE runs ADD COLUMN trial TEXT NOT NULL DEFAULT '';  -- open: until it closes a layer; failed: not to be carried out

-- Apart from the owners, whose table older servers write by position.
CREATE TABLE fallen (
  owner TEXT PRIMARY KEY,  -- its event loop was held until it ended itself
  blamed TEXT NOT NULL  -- the run whose work held it; empty when nobody knows
) WITHOUT ROWID;
