-- database: bindery
-- What comes of Stripe's events: subscriptions as Stripe has them, whose they are, and what that
-- means for each person.

-- Owner: billing -----------------------------------------------------------------------------

-- One row per customer at Stripe. `user_id` is NULL while nobody knows whose it is; then Stripe is
-- asked, once for every event that names the customer (`ask_at`). After the account was deleted the
-- row stays without the person, so that a late event brings nothing back.
CREATE TABLE stripe_customers (
  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) BETWEEN 1 AND 255),
  user_id TEXT CHECK (length(user_id) BETWEEN 1 AND 255),
  linked_at INTEGER,
  ask_at INTEGER,                      -- when Stripe is to be asked whose it is; NULL: nothing to ask
  tries INTEGER NOT NULL DEFAULT 0,    -- of asking, or of telling
  tell_at INTEGER,                     -- when Stripe is to be told whose it is; NULL: it knows
  forgotten_at INTEGER,
  CHECK ((user_id IS NULL) = (linked_at IS NULL)),
  CHECK (forgotten_at IS NULL OR (user_id IS NULL AND ask_at IS NULL AND tell_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX stripe_customers_by_user ON stripe_customers (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX stripe_customers_to_ask ON stripe_customers (ask_at) WHERE ask_at IS NOT NULL;
CREATE INDEX stripe_customers_to_tell ON stripe_customers (tell_at) WHERE tell_at IS NOT NULL;

-- One row per subscription: the newest that is known of it. `version_at` and `version_moment` are the
-- event that the row shows (Stripe's clock; 0 created, 1 changed, 2 deleted), `fetched_at` is when, by
-- Stripe's clock, it was last read from the API. `paid_at` and `failures` (seconds, with commas) are
-- what invoices told, `sure_at` the last of it that the reading knew. A `doubt` is why the row has to be read from the API before it is sure.
CREATE TABLE subscriptions (
  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) BETWEEN 1 AND 255),
  customer_id TEXT,
  status TEXT,                         -- NULL: nothing but a name was seen yet
  quantity INTEGER NOT NULL DEFAULT 0 CHECK (quantity >= 0),
  item_id TEXT,                        -- the line whose quantity is changed
  period_end INTEGER,
  cancel_at INTEGER,
  cancels_at_period_end INTEGER NOT NULL DEFAULT 0 CHECK (cancels_at_period_end IN (0, 1)),
  ended_at INTEGER,
  created_at INTEGER NOT NULL DEFAULT 0,
  version_at INTEGER NOT NULL DEFAULT 0,
  version_moment INTEGER NOT NULL DEFAULT 0 CHECK (version_moment IN (0, 1, 2)),
  fetched_at INTEGER NOT NULL DEFAULT 0,
  sure_at INTEGER NOT NULL DEFAULT 0,
  paid_at INTEGER NOT NULL DEFAULT 0,
  failures TEXT NOT NULL DEFAULT '',
  doubt TEXT,
  fetch_at INTEGER,
  fetch_tries INTEGER NOT NULL DEFAULT 0,
  revision INTEGER NOT NULL DEFAULT 0, -- counts writes: an answer to an older question is not taken
  CHECK ((doubt IS NULL) = (fetch_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX subscriptions_by_customer ON subscriptions (customer_id);
CREATE INDEX subscriptions_doubtful ON subscriptions (fetch_at) WHERE fetch_at IS NOT NULL;

-- One row per person: what all their subscriptions come to. `version` grows with every change;
-- auth has it when `delivered_version` is the same.
CREATE TABLE billing_standings (
  user_id TEXT PRIMARY KEY NOT NULL,
  version INTEGER NOT NULL CHECK (version > 0),
  plan TEXT NOT NULL CHECK (plan IN ('free_trial', 'active', 'canceled')),
  quantity INTEGER NOT NULL CHECK (quantity >= 0),
  past_due_since INTEGER,
  access_until INTEGER,
  paid_until INTEGER,
  why TEXT NOT NULL,                   -- sentences, one a line
  delivered_version INTEGER NOT NULL DEFAULT 0,
  deliver_at INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX billing_standings_undelivered ON billing_standings (deliver_at)
  WHERE delivered_version <> version;

-- Why an account is as it is: one sentence of ours a row, with Stripe's ids.
CREATE TABLE billing_trail (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  customer_id TEXT,
  user_id TEXT,                        -- when no customer is known yet
  text TEXT NOT NULL
) STRICT;
CREATE INDEX billing_trail_by_customer ON billing_trail (customer_id);
CREATE INDEX billing_trail_by_user ON billing_trail (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX billing_trail_by_time ON billing_trail (at);

-- Mails that the scheduler has not taken yet.
CREATE TABLE billing_mails (
  occasion TEXT PRIMARY KEY NOT NULL,
  kind TEXT NOT NULL,
  user_id TEXT NOT NULL,
  detail TEXT NOT NULL,                -- what the text leaves open: a day, or a subscription
  send_at INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- The idempotency key of each change that was asked of Stripe and whose answer is not known yet.
CREATE TABLE stripe_posts (
  purpose TEXT PRIMARY KEY NOT NULL,   -- what it is to do, and for whom
  key TEXT NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32), -- SHA-256 of what is sent
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Customers of deleted accounts that Stripe is still to be told of.
CREATE TABLE stripe_farewells (
  customer_id TEXT PRIMARY KEY NOT NULL,
  subscription_ids TEXT NOT NULL,      -- with commas
  wished_at INTEGER NOT NULL,
  try_at INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- People who are gone, for as long as one of their checkouts may still be completed.
CREATE TABLE billing_departed (
  user_id TEXT PRIMARY KEY NOT NULL,
  departed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What billing remembers of its own doing, by name.
CREATE TABLE billing_marks (
  name TEXT PRIMARY KEY NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Finds what waits and what is parked without a look at what is settled.
CREATE INDEX stripe_inbox_unsettled ON stripe_inbox (state, received_at)
  WHERE state IN ('waiting', 'parked');
