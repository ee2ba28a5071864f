-- database: tokens
-- What the refresh of tokens must remember over a crash. No token and no key is here.

-- Owner: scheduler ---------------------------------------------------------------------------

-- One row while an exchange is under way: written before anything is sent, deleted in the same
-- transaction that stores the answer. A row that is still here after a crash tells that the answer
-- may have been lost.
CREATE TABLE refresh_journal (
  connection_id TEXT PRIMARY KEY NOT NULL CHECK (length(connection_id) = 36),
  generation INTEGER NOT NULL CHECK (generation >= 1),  -- the one whose refresh token is sent
  attempt INTEGER NOT NULL CHECK (attempt >= 1),
  started_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How the tokens of a connection fare. What a row says of failure holds for its generation alone: a
-- newer blob has no failure.
CREATE TABLE refresh_state (
  connection_id TEXT PRIMARY KEY NOT NULL CHECK (length(connection_id) = 36),
  generation INTEGER NOT NULL CHECK (generation >= 1),
  refreshed_at INTEGER,                -- the last success
  refresh_expires_at INTEGER,          -- when the refresh token ends, if the provider said
  needs_reauth_at INTEGER,             -- since when the provider refuses the refresh token
  failure TEXT,                        -- why the last try failed: one word of ours
  failures INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),  -- in a row
  next_try_at INTEGER,                 -- not before; NULL: at any time
  warned_at INTEGER,                   -- the person was told that it will end
  reminded_at INTEGER                  -- the yearly reminder
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_state_by_need ON refresh_state (needs_reauth_at)
  WHERE needs_reauth_at IS NOT NULL;
