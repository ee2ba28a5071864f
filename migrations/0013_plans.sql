-- database: bindery
-- What people's plans allow, as it is in force. Billing derives the standing from what Stripe says;
-- auth writes it here in the transaction that suspends and reactivates connections.

-- Owner: auth ------------------------------------------------------------------------------

-- One row per person who has connected something, or of whom billing knows a standing. `ends_at` and
-- `review_at` follow from the rest, the account's start and the settings; the edge reads `ends_at`
-- with the connection.
CREATE TABLE plans (
  user_id TEXT PRIMARY KEY NOT NULL REFERENCES users (id),
  version INTEGER NOT NULL DEFAULT 0 CHECK (version >= 0),    -- of billing's standing; 0: none came
  plan TEXT NOT NULL DEFAULT 'free_trial' CHECK (plan IN ('free_trial', 'active', 'canceled')),
  quantity INTEGER NOT NULL DEFAULT 0 CHECK (quantity >= 0),  -- connections paid for
  past_due_since INTEGER,
  access_until INTEGER,                -- of what was cancelled
  paid_until INTEGER,
  why TEXT NOT NULL DEFAULT '',        -- lines of billing's words
  set_at INTEGER,                      -- when this version came
  ends_at INTEGER,                     -- from when nothing is allowed; NULL: the clock ends nothing
  review_at INTEGER,                   -- when the clock next changes what is allowed
  CHECK ((version = 0) = (set_at IS NULL))
) STRICT;
CREATE INDEX plans_by_review ON plans (review_at) WHERE review_at IS NOT NULL;

-- One row from the first start with billing on.
CREATE TABLE billing_contact (
  id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
  enabled_at INTEGER NOT NULL,         -- no trial began before
  caught_up_at INTEGER NOT NULL        -- until when billing knows what Stripe did
) STRICT;

-- Deleted accounts that billing has yet to forget. The id is nobody's any more.
CREATE TABLE billing_farewells (
  user_id TEXT PRIMARY KEY NOT NULL CHECK (length(user_id) = 36),
  deleted_at INTEGER NOT NULL
) STRICT;
