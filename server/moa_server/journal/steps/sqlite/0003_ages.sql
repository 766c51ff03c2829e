-- serves: 1
-- An older server leaves these as they are, and tells the age of its own runs by the clock on the wall.
ALTER TABLE runs ADD COLUMN boot TEXT NOT NULL DEFAULT '';  -- of the machine, when the run was registered; empty when not known
ALTER TABLE runs ADD COLUMN began REAL NOT NULL DEFAULT 0;  -- by the monotonic clock, which counts from the boot
