-- database: bindery
-- Finds the uses of one program's key, over all connections that it reached.

-- Owner: edge ------------------------------------------------------------------------------

-- A use that is noted again changes no column of it, so it costs the edge a write per key and
-- connection, once.
CREATE INDEX credential_use_by_credential ON credential_use (credential_id);
