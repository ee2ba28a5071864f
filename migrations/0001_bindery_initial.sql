-- database: bindery
-- People, what they connected, and who may use it.
-- Times are whole Unix seconds unless the column says _ms. Identifiers are random UUIDs as
-- lower-case text. Lists (networks, tools) are lines separated by LF; NULL means "no limit".
-- No column holds a secret in the clear, and none holds anything derived from the second half
-- of a credential.

-- Owner: auth ------------------------------------------------------------------------------

CREATE TABLE users (
  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),
  email TEXT NOT NULL,                 -- as typed, for people
  email_key TEXT NOT NULL UNIQUE,      -- lower-cased ASCII, the name at sign-in
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE password_hashes (
  user_id TEXT PRIMARY KEY NOT NULL REFERENCES users (id),
  algorithm TEXT NOT NULL CHECK (algorithm = 'scrypt'),
  cost_n INTEGER NOT NULL,
  cost_r INTEGER NOT NULL,
  cost_p INTEGER NOT NULL,
  salt BLOB NOT NULL CHECK (length(salt) >= 16),
  hash BLOB NOT NULL CHECK (length(hash) >= 32),
  changed_at INTEGER NOT NULL
) STRICT;

-- One row per sign-in that has not ended; ending it deletes the row. Everything a client holds is
-- stored as SHA-256 only. The successor of a refresh token is a function of that token and
-- successor_salt, so that a client that never saw our answer gets the same successor again, and
-- this table alone yields neither.
CREATE TABLE sessions (
  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),
  user_id TEXT NOT NULL REFERENCES users (id),
  cookie_hash BLOB NOT NULL UNIQUE CHECK (length(cookie_hash) = 32),
  family_hash BLOB NOT NULL UNIQUE CHECK (length(family_hash) = 32),
  refresh_hash BLOB NOT NULL CHECK (length(refresh_hash) = 32),
  previous_hash BLOB CHECK (length(previous_hash) = 32),
  successor_salt BLOB NOT NULL CHECK (length(successor_salt) = 32),
  rotated_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL          -- absolute end, however often it is refreshed
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- A revoked connection stays as a row without label, policy or key, so that the sweep of the
-- token store can tell "revoked" from "not yet written".
CREATE TABLE connections (
  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),
  user_id TEXT NOT NULL REFERENCES users (id),
  service TEXT NOT NULL,
  label TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'error', 'revoked')),
  auth_type TEXT NOT NULL CHECK (auth_type IN ('api_key', 'oauth')),
  key_storage_mode TEXT NOT NULL CHECK (key_storage_mode IN ('zero_knowledge', 'managed')),
  networks TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  needs_reauth_at INTEGER,
  managed_wrap BLOB,                   -- the data key, sealed under a master key
  managed_fingerprint TEXT CHECK (length(managed_fingerprint) = 16),
  revoked_at INTEGER,
  CHECK ((status = 'revoked') = (revoked_at IS NOT NULL)),
  CHECK ((managed_wrap IS NULL) = (managed_fingerprint IS NULL)),
  CHECK ((managed_wrap IS NOT NULL) = (key_storage_mode = 'managed' AND revoked_at IS NULL))
) STRICT;
CREATE INDEX connections_by_user ON connections (user_id, created_at);
CREATE INDEX connections_by_fingerprint ON connections (managed_fingerprint)
  WHERE managed_fingerprint IS NOT NULL;

CREATE TABLE credentials (
  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),
  connection_id TEXT NOT NULL REFERENCES connections (id),
  name TEXT NOT NULL,
  lookup BLOB NOT NULL UNIQUE CHECK (length(lookup) = 32),  -- SHA-256 of secret1
  wrap BLOB,                           -- the data key, sealed under secret2; gone once revoked
  networks TEXT,
  tools TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER,
  CHECK ((wrap IS NULL) = (revoked_at IS NOT NULL))
) STRICT;
CREATE INDEX credentials_by_connection ON credentials (connection_id);

CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  event TEXT NOT NULL,
  user_id TEXT,
  connection_id TEXT,
  credential_id TEXT,
  session_id TEXT
) STRICT;
CREATE INDEX audit_by_user ON audit (user_id, id);

-- Owner: edge ------------------------------------------------------------------------------
-- These refer to rows of auth by value, without foreign keys: an owner writes its own tables only.

-- When a connection was last used is the greatest last_used_at of its rows here.
CREATE TABLE credential_use (
  connection_id TEXT NOT NULL,
  credential_id TEXT NOT NULL,
  last_used_at INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  PRIMARY KEY (connection_id, credential_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE activity (
  id INTEGER PRIMARY KEY,
  connection_id TEXT NOT NULL,
  credential_id TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  status INTEGER NOT NULL,
  method_name TEXT,                    -- a JSON-RPC method, from a closed list; never an argument
  duration_ms INTEGER NOT NULL,
  network TEXT NOT NULL                -- the caller's /24 or /48
) STRICT;
CREATE INDEX activity_by_connection ON activity (connection_id, at_ms);
CREATE INDEX activity_by_time ON activity (at_ms);

CREATE TABLE blocklist (
  address BLOB PRIMARY KEY NOT NULL CHECK (length(address) = 16),
  reason TEXT NOT NULL,
  blocked_at INTEGER NOT NULL,
  blocked_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX blocklist_by_end ON blocklist (blocked_until);
