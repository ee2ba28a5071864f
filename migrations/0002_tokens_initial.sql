-- database: tokens
-- The sealed tokens of connections, apart from everything that says whose they are.
-- Owner: auth writes generation 1, the scheduler every later one; both by compare-and-swap.

CREATE TABLE token_blobs (
  connection_id TEXT PRIMARY KEY NOT NULL CHECK (length(connection_id) = 36),
  generation INTEGER NOT NULL CHECK (generation >= 1),
  sealed BLOB NOT NULL CHECK (length(sealed) > 58),  -- sealed format v1, under the data key
  expires_at INTEGER,                                -- of the access token; NULL: never
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX token_blobs_by_end ON token_blobs (expires_at) WHERE expires_at IS NOT NULL;
