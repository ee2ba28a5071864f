-- database: bindery
-- How a person connects a service by OAuth, and how a connection is parted from its provider.

-- Owner: auth --------------------------------------------------------------------------------

-- Whether the provider can be told that a grant ended; known when the connection is made, because
-- afterwards only the holder of the data key could look.
ALTER TABLE connections ADD COLUMN revocable_upstream INTEGER NOT NULL DEFAULT 0
  CHECK (revocable_upstream IN (0, 1));

-- One row from the moment a person is sent to a provider until they come back, at most ten minutes.
-- `sealed` holds the verifier, our client there and the endpoints, under a key that is derived from
-- the state itself: the state is in the person's browser and at the provider, and nowhere here.
CREATE TABLE pending_authorizations (
  state_hash BLOB PRIMARY KEY NOT NULL CHECK (length(state_hash) = 32),
  user_id TEXT NOT NULL REFERENCES users (id),
  service TEXT NOT NULL,
  browser_hash BLOB NOT NULL CHECK (length(browser_hash) = 32),  -- of the cookie that must come back
  replaces TEXT CHECK (length(replaces) = 36),                   -- the connection that will end
  key_storage_mode TEXT NOT NULL CHECK (key_storage_mode IN ('zero_knowledge', 'managed')),
  return_to TEXT NOT NULL,
  sealed BLOB NOT NULL CHECK (length(sealed) > 58),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX pending_authorizations_by_user ON pending_authorizations (user_id);
CREATE INDEX pending_authorizations_by_end ON pending_authorizations (expires_at);

-- A fresh credential on its way to its owner's dashboard, at most five minutes: sealed under a key
-- that is derived from the claim token, which is in the address that the browser was sent to.
CREATE TABLE claims (
  token_hash BLOB PRIMARY KEY NOT NULL CHECK (length(token_hash) = 32),
  user_id TEXT NOT NULL REFERENCES users (id),
  connection_id TEXT NOT NULL REFERENCES connections (id),
  sealed BLOB NOT NULL CHECK (length(sealed) > 58),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX claims_by_connection ON claims (connection_id);
CREATE INDEX claims_by_end ON claims (expires_at);

-- Our client at each authorization server where we registered ourselves. A secret is sealed under a
-- master key; without a master key a client that has one is not kept.
CREATE TABLE oauth_registrations (
  issuer TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  client_id TEXT NOT NULL,
  client_authentication TEXT NOT NULL CHECK (client_authentication IN ('none', 'basic', 'post')),
  secret BLOB CHECK (length(secret) > 58),
  secret_fingerprint TEXT CHECK (length(secret_fingerprint) = 16),
  management_uri TEXT,                 -- where the server lets a client look after itself
  registered_at INTEGER NOT NULL,
  expires_at INTEGER,                  -- of the secret; NULL: never
  PRIMARY KEY (issuer, redirect_uri),
  CHECK ((secret IS NULL) = (secret_fingerprint IS NULL)),
  CHECK ((secret IS NULL) = (client_authentication = 'none'))
) STRICT;

-- Wraps of credentials whose zero-knowledge connection was revoked before the provider could be
-- told: whoever shows the secret once more lets us do it. They open nothing else: the connection is
-- revoked. Gone when the provider was told, or after 30 days.
CREATE TABLE parted_wraps (
  lookup BLOB PRIMARY KEY NOT NULL CHECK (length(lookup) = 32),
  connection_id TEXT NOT NULL REFERENCES connections (id),
  user_id TEXT NOT NULL REFERENCES users (id),
  credential_id TEXT NOT NULL REFERENCES credentials (id),
  wrap BLOB NOT NULL CHECK (length(wrap) > 0)
) STRICT;
CREATE INDEX parted_wraps_by_connection ON parted_wraps (connection_id);

-- Revoked connections whose provider is to be told, or was.
CREATE TABLE upstream_revocations (
  connection_id TEXT PRIMARY KEY NOT NULL REFERENCES connections (id),
  user_id TEXT NOT NULL REFERENCES users (id),
  service TEXT NOT NULL,
  managed_wrap BLOB,                   -- of a managed connection, until it is settled
  managed_fingerprint TEXT CHECK (length(managed_fingerprint) = 16),
  state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'revoked', 'unsupported')),
  requested_at INTEGER NOT NULL,
  settled_at INTEGER,
  CHECK ((managed_wrap IS NULL) = (managed_fingerprint IS NULL)),
  CHECK ((state = 'pending') = (settled_at IS NULL)),
  CHECK (managed_wrap IS NULL OR state = 'pending')
) STRICT;
CREATE INDEX upstream_revocations_open ON upstream_revocations (requested_at)
  WHERE state = 'pending';
