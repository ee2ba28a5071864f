-- database: bindery
-- What the scheduler's jobs remember over a restart, and the mails that wait to be sent.

-- Owner: scheduler ---------------------------------------------------------------------------

-- One row per job, written when a run ends. A run that was cut short left no trace here and is
-- made again.
CREATE TABLE job_state (
  name TEXT PRIMARY KEY NOT NULL,
  started_at INTEGER NOT NULL,
  finished_at INTEGER NOT NULL,
  succeeded_at INTEGER,                -- the end of the last run that did not fail
  outcome TEXT NOT NULL CHECK (outcome IN ('done', 'findings', 'failed')),
  detail TEXT NOT NULL,                -- lines `name=count`
  next_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per mail. `dedupe_key` names the occasion, so that nobody is told the same thing twice.
-- The body is here only until the mail is on its way.
CREATE TABLE mail_queue (
  id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36),
  dedupe_key TEXT NOT NULL UNIQUE CHECK (length(dedupe_key) BETWEEN 1 AND 200),
  kind TEXT NOT NULL,
  recipient TEXT NOT NULL CHECK (length(recipient) BETWEEN 3 AND 254),
  subject TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 200),
  body TEXT,
  created_at INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
  next_try_at INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'parked')),
  reason TEXT,                         -- why the last try failed: one word of ours
  sent_at INTEGER,
  CHECK ((state = 'sent') = (sent_at IS NOT NULL)),
  CHECK ((state = 'sent') = (body IS NULL))
) STRICT;
CREATE INDEX mail_queue_waiting ON mail_queue (next_try_at) WHERE state = 'waiting';
CREATE INDEX mail_queue_by_recipient ON mail_queue (recipient);
