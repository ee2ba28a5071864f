-- database: bindery
-- Telling the provider of a connection that MCP clients hold alone. What is left of their refresh
-- tokens when their zero-knowledge connection is revoked: a client that shows its own once more lets us
-- do it. They open nothing else. Gone when the provider was told, or after 30 days.

CREATE TABLE parted_grants (
  family_hash BLOB PRIMARY KEY NOT NULL CHECK (length(family_hash) = 32),
  refresh_hash BLOB NOT NULL CHECK (length(refresh_hash) = 32),
  connection_id TEXT NOT NULL REFERENCES connections (id),
  user_id TEXT NOT NULL REFERENCES users (id),
  grant_id TEXT NOT NULL CHECK (length(grant_id) = 36),
  wrap BLOB NOT NULL CHECK (length(wrap) > 58)
) STRICT;
CREATE INDEX parted_grants_by_connection ON parted_grants (connection_id);
