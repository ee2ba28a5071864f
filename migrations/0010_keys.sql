-- database: bindery
-- Keys for programs: of a person, and of a space, which is some of a person's connections.

-- Owner: auth --------------------------------------------------------------------------------
-- Of a key only SHA-256 of its whole text is here. It has 512 random bits, so no salt and no slow
-- hash are needed. A revoked key's row is gone.

CREATE TABLE user_keys (
  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  key_hash BLOB NOT NULL UNIQUE CHECK (length(key_hash) = 32),
  created_at INTEGER NOT NULL,
  expires_at INTEGER,                  -- NULL: never
  last_used_at INTEGER                 -- at the API; at MCP endpoints: credential_use
) STRICT;
CREATE INDEX user_keys_by_user ON user_keys (user_id, created_at);

CREATE TABLE spaces (
  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX spaces_by_user ON spaces (user_id, created_at);

-- Live connections only: a revoked one leaves its spaces, one that takes its place inherits them.
CREATE TABLE space_connections (
  space_id TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
  connection_id TEXT NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
  PRIMARY KEY (space_id, connection_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX space_connections_by_connection ON space_connections (connection_id);

CREATE TABLE space_api_keys (
  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),
  space_id TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  key_hash BLOB NOT NULL UNIQUE CHECK (length(key_hash) = 32),
  may_read INTEGER NOT NULL CHECK (may_read IN (0, 1)),    -- connections:read
  may_use INTEGER NOT NULL CHECK (may_use IN (0, 1)),      -- connections:use
  may_write INTEGER NOT NULL CHECK (may_write IN (0, 1)),  -- connections:write
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  last_used_at INTEGER
) STRICT;
CREATE INDEX space_api_keys_by_space ON space_api_keys (space_id, created_at);
