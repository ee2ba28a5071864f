-- database: bindery
-- What MCP clients are told and given as OAuth clients: who they are, what people granted them, and
-- the tokens under way. A code, a refresh token and an access token each carry a secret of their own
-- under which the connection's data key is sealed; of that secret nothing is stored.

-- Owner: auth --------------------------------------------------------------------------------

-- Clients that registered themselves. One that nobody uses goes when `expires_at` has come; use
-- moves it on.
CREATE TABLE oauth_clients (
  id TEXT PRIMARY KEY NOT NULL,
  name TEXT NOT NULL,                  -- what it calls itself; empty for nothing
  redirect_uris TEXT NOT NULL,         -- one a line, byte for byte
  authentication TEXT NOT NULL CHECK (authentication IN ('none', 'basic', 'post')),
  secret_hash BLOB CHECK (length(secret_hash) = 32),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  CHECK ((secret_hash IS NULL) = (authentication = 'none'))
) STRICT;
CREATE INDEX oauth_clients_by_end ON oauth_clients (expires_at);

-- One row per consent. First it waits for its code; the exchange takes `code_wrap` away and gives it
-- a refresh token. `code_hash` stays, so that a code that is shown twice ends the grant. The
-- successor of a refresh token is a function of that token and `successor_salt`.
CREATE TABLE oauth_grants (
  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  connection_id TEXT NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
  client_id TEXT NOT NULL,
  client_name TEXT NOT NULL,
  resource TEXT NOT NULL,
  scope TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,         -- absolute end, however often it is refreshed
  redirect_uri TEXT NOT NULL,
  code_hash BLOB NOT NULL UNIQUE CHECK (length(code_hash) = 32),
  code_challenge BLOB NOT NULL CHECK (length(code_challenge) = 32),
  code_expires_at INTEGER NOT NULL,
  code_wrap BLOB CHECK (length(code_wrap) > 58),
  family_hash BLOB UNIQUE CHECK (length(family_hash) = 32),
  refresh_hash BLOB CHECK (length(refresh_hash) = 32),
  previous_hash BLOB CHECK (length(previous_hash) = 32),
  successor_salt BLOB CHECK (length(successor_salt) = 32),
  refresh_wrap BLOB CHECK (length(refresh_wrap) > 58),
  rotated_at INTEGER,
  CHECK ((code_wrap IS NULL) = (family_hash IS NOT NULL)),
  CHECK ((family_hash IS NULL) = (refresh_hash IS NULL)),
  CHECK ((family_hash IS NULL) = (successor_salt IS NULL)),
  CHECK ((family_hash IS NULL) = (refresh_wrap IS NULL)),
  CHECK ((family_hash IS NULL) = (rotated_at IS NULL))
) STRICT;
CREATE INDEX oauth_grants_by_connection ON oauth_grants (connection_id);
CREATE INDEX oauth_grants_by_user ON oauth_grants (user_id);
CREATE INDEX oauth_grants_by_client ON oauth_grants (client_id);
CREATE INDEX oauth_grants_by_end ON oauth_grants (expires_at);
CREATE INDEX oauth_grants_unspent ON oauth_grants (code_expires_at) WHERE code_wrap IS NOT NULL;

-- Access tokens that have not ended. The lookup is SHA-256 of the first half of SHA-512 of the token,
-- whose second half opens the wrap.
CREATE TABLE oauth_access_tokens (
  lookup BLOB PRIMARY KEY NOT NULL CHECK (length(lookup) = 32),
  grant_id TEXT NOT NULL REFERENCES oauth_grants (id) ON DELETE CASCADE,
  wrap BLOB NOT NULL CHECK (length(wrap) > 58),
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX oauth_access_tokens_by_grant ON oauth_access_tokens (grant_id);
CREATE INDEX oauth_access_tokens_by_end ON oauth_access_tokens (expires_at);

-- The public halves of the signing keys, for whoever verifies a token without asking auth.
CREATE TABLE signing_keys (
  key_id TEXT PRIMARY KEY NOT NULL,
  x BLOB NOT NULL CHECK (length(x) = 32),
  y BLOB NOT NULL CHECK (length(y) = 32),
  added_at INTEGER NOT NULL
) STRICT;
