-- database: bindery
-- People of another identity provider, the audit log, and whose a mail is.

-- Owner: auth --------------------------------------------------------------------------------

-- Who somebody is at Clerk. Such a person has no password here, and `users.email_key` holds no
-- address but `clerk:` and the subject, so that nobody comes to an account by an address alone.
CREATE TABLE clerk_identities (
  subject TEXT PRIMARY KEY NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
  user_id TEXT NOT NULL UNIQUE REFERENCES users (id),
  created_at INTEGER NOT NULL
) STRICT;

-- SHA-256 of the subject of a deleted account, for a day: a token from before the deletion must not
-- make the account anew.
CREATE TABLE clerk_farewells (
  subject_hash BLOB PRIMARY KEY NOT NULL CHECK (length(subject_hash) = 32),
  deleted_at INTEGER NOT NULL
) STRICT;

-- Who asked for a new password within the last hour: for them alone a link is made.
CREATE TABLE password_resets (
  user_id TEXT PRIMARY KEY NOT NULL REFERENCES users (id),
  asked_at INTEGER NOT NULL
) STRICT;

-- Connections of deleted accounts, for an hour: what the edge still had in memory about them goes
-- with the next tidying. Nothing here says whose they were.
CREATE TABLE erased_connections (
  connection_id TEXT PRIMARY KEY NOT NULL CHECK (length(connection_id) = 36),
  erased_at INTEGER NOT NULL
) STRICT;

-- Who would like to see a service that can not be connected yet.
CREATE TABLE interest (
  id INTEGER PRIMARY KEY,
  service TEXT NOT NULL CHECK (length(service) BETWEEN 1 AND 64),
  user_id TEXT REFERENCES users (id),  -- NULL: nobody was signed in
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX interest_by_user ON interest (user_id) WHERE user_id IS NOT NULL;

-- The audit log names people by random bytes. This table alone says whose they are; when an account
-- is deleted its row goes, and the log needs no change.
CREATE TABLE audit_subjects (
  user_id TEXT PRIMARY KEY NOT NULL REFERENCES users (id),
  subject BLOB NOT NULL UNIQUE CHECK (length(subject) = 16)
) STRICT;

-- Append-only. `hash` is SHA-256 over the hash before it and all of this row, so that a change, a
-- gap or another order shows. It takes the place of `audit`, which is read no more.
CREATE TABLE audit_log (
  sequence INTEGER PRIMARY KEY NOT NULL,
  at INTEGER NOT NULL,
  event TEXT NOT NULL,
  subject BLOB CHECK (length(subject) = 16),   -- NULL: nobody in particular
  about TEXT NOT NULL,                          -- lines `name=value`: identifiers of ours
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_log_by_subject ON audit_log (subject, sequence) WHERE subject IS NOT NULL;

-- Up to where the log was cut after its retention, and the hash that its rest hangs on.
CREATE TABLE audit_cuts (
  through INTEGER PRIMARY KEY NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  at INTEGER NOT NULL
) STRICT;

CREATE TRIGGER audit_log_append BEFORE INSERT ON audit_log
WHEN NEW.sequence IS NOT 1 + max(
  coalesce((SELECT max(sequence) FROM audit_log), 0),
  coalesce((SELECT max(through) FROM audit_cuts), 0))
BEGIN SELECT RAISE(ABORT, 'the audit log is appended to'); END;

CREATE TRIGGER audit_log_stays BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log does not change'); END;

CREATE TRIGGER audit_log_keeps BEFORE DELETE ON audit_log
WHEN OLD.sequence > coalesce((SELECT max(through) FROM audit_cuts), 0)
BEGIN SELECT RAISE(ABORT, 'the audit log is cut after its retention'); END;

-- 400 days: a year, and time to look back on it.
CREATE TRIGGER audit_cuts_wait BEFORE INSERT ON audit_cuts
WHEN NOT EXISTS (SELECT 1 FROM audit_log WHERE sequence = NEW.through AND hash = NEW.hash
  AND at < CAST(strftime('%s', 'now') AS INTEGER) - 400 * 86400)
BEGIN SELECT RAISE(ABORT, 'the audit log is cut after its retention'); END;

CREATE TRIGGER audit_cuts_stay BEFORE UPDATE ON audit_cuts
BEGIN SELECT RAISE(ABORT, 'the audit log does not change'); END;

CREATE TRIGGER audit_cuts_keep BEFORE DELETE ON audit_cuts
BEGIN SELECT RAISE(ABORT, 'the audit log does not change'); END;

-- Owner: scheduler ---------------------------------------------------------------------------

-- Whose account a mail is about, so that it goes with the account. By value, without a foreign key:
-- the mail is the scheduler's.
ALTER TABLE mail_queue ADD COLUMN user_id TEXT CHECK (length(user_id) = 36);
CREATE INDEX mail_queue_by_user ON mail_queue (user_id) WHERE user_id IS NOT NULL;
