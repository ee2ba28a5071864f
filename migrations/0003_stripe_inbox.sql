-- database: bindery
-- What Stripe told us, before anything comes of it.

-- Owner: billing -----------------------------------------------------------------------------
-- One row per event, written before Stripe gets its 200. `sequence` is the order of arrival,
-- which is not the order of events; `created_at` is Stripe's own clock, in whole seconds. Rows
-- go from waiting to applied, ignored or parked (after 8 tries) and are worked on from here.
-- The body is kept byte for byte while it is needed and holds what Stripe knows of the customer
-- (never a card number); it is never logged.

CREATE TABLE stripe_inbox (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE CHECK (length(id) BETWEEN 1 AND 255),
  type TEXT NOT NULL CHECK (length(type) BETWEEN 1 AND 255),
  created_at INTEGER NOT NULL,
  livemode INTEGER NOT NULL CHECK (livemode IN (0, 1)),
  api_version TEXT,
  account TEXT,                        -- set when the event belongs to a connected account
  object_type TEXT,                    -- of data.object: subscription, invoice, customer, …
  object_id TEXT,
  customer_id TEXT,                    -- the customer that data.object belongs to
  body BLOB,                           -- NULL once settled and past its retention
  received_at INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting'
    CHECK (state IN ('waiting', 'applied', 'ignored', 'parked')),
  tries INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
  next_try_at INTEGER,                 -- NULL: as soon as possible
  reason TEXT,                         -- of the last failure, or why it was ignored: our own words
  settled_at INTEGER,
  CHECK ((state IN ('applied', 'ignored')) = (settled_at IS NOT NULL)),
  CHECK (body IS NOT NULL OR state IN ('applied', 'ignored'))
) STRICT;
CREATE INDEX stripe_inbox_open ON stripe_inbox (next_try_at, sequence) WHERE state = 'waiting';
CREATE INDEX stripe_inbox_by_object ON stripe_inbox (object_id, created_at);
CREATE INDEX stripe_inbox_by_customer ON stripe_inbox (customer_id, created_at);
CREATE INDEX stripe_inbox_settled ON stripe_inbox (settled_at) WHERE body IS NOT NULL;
