-- database: bindery
-- Since when a connection is suspended, so that it can end when that lasts too long.

-- Owner: auth --------------------------------------------------------------------------------

-- Written by the regular tidying when it first sees a connection suspended, and cleared by it when the
-- connection is suspended no longer: whoever suspends need not know of it.
ALTER TABLE connections ADD COLUMN suspended_at INTEGER;
CREATE INDEX connections_suspended ON connections (suspended_at)
  WHERE status = 'suspended' OR suspended_at IS NOT NULL;
