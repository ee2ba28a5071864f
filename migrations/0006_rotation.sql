-- database: bindery
-- How far the re-wrapping under a new master key is. Fingerprints only; no key is here.

-- Owner: auth ------------------------------------------------------------------------------

-- One row per rotation, at most one of them open. What is left to do is not written here: it is
-- every row whose fingerprint is not the target.
CREATE TABLE key_rotations (
  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),
  target_fingerprint TEXT NOT NULL CHECK (length(target_fingerprint) = 16),
  state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'completed', 'failed')),
  total INTEGER NOT NULL CHECK (total >= 0),  -- rows under other keys when it began
  done INTEGER NOT NULL DEFAULT 0 CHECK (done >= 0),
  failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),  -- rows of this pass that do not open
  rate INTEGER CHECK (rate >= 1),      -- rows a second at most; NULL: no limit
  started_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  finished_at INTEGER,
  reason TEXT,                         -- why it failed: one word of ours
  CHECK ((state IN ('completed', 'failed')) = (finished_at IS NOT NULL)),
  CHECK ((state = 'failed') = (reason IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX key_rotations_open ON key_rotations ((1)) WHERE finished_at IS NULL;
