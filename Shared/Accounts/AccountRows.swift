// Where is a person? Every table of both databases is on one of the two lists here: with what is shown
// of its rows when somebody asks for their data, and how the rows go with the account; or as one that
// holds nothing of anybody. A test holds the lists against the schema. What a statement shows is
// written column by column: hashes, wraps and sealed values never are.

import Database

/// One table that holds something of people.
struct AccountTable: Sendable {
  let name: StaticString
  /// One JSON object a row, for the person ?1; nil: nothing to show.
  let shown: StaticString?
  /// Deletes their rows, or what makes them theirs.
  let erase: StaticString?

  init(_ name: StaticString, shown: StaticString?, erase: StaticString?) {
    self.name = name
    self.shown = shown
    self.erase = erase
  }
}

/// The lists.
enum AccountRows {
  /// Tables of bindery.sqlite in the order in which rows can be deleted: who refers comes before who
  /// is referred to.
  static let tables: [AccountTable] = [
    AccountTable(
      "claims",
      shown: """
        SELECT json_object('connection_id', connection_id, 'created_at', created_at,
          'expires_at', expires_at)
        FROM claims WHERE user_id = ?1 ORDER BY created_at
        """,
      erase: "DELETE FROM claims WHERE user_id = ?1"),
    AccountTable(
      "pending_authorizations",
      shown: """
        SELECT json_object('service', service, 'key_storage_mode', key_storage_mode,
          'replaces', replaces, 'return_to', return_to, 'created_at', created_at,
          'expires_at', expires_at)
        FROM pending_authorizations WHERE user_id = ?1 ORDER BY created_at
        """,
      erase: "DELETE FROM pending_authorizations WHERE user_id = ?1"),
    AccountTable(
      "parted_wraps",
      shown: """
        SELECT json_object('connection_id', connection_id, 'credential_id', credential_id)
        FROM parted_wraps WHERE user_id = ?1
        """,
      erase: "DELETE FROM parted_wraps WHERE user_id = ?1"),
    AccountTable(
      "parted_grants",
      shown: """
        SELECT json_object('connection_id', connection_id, 'grant_id', grant_id)
        FROM parted_grants WHERE user_id = ?1
        """,
      erase: "DELETE FROM parted_grants WHERE user_id = ?1"),
    AccountTable(
      "upstream_revocations",
      shown: """
        SELECT json_object('connection_id', connection_id, 'service', service, 'state', state,
          'requested_at', requested_at, 'settled_at', settled_at)
        FROM upstream_revocations WHERE user_id = ?1 ORDER BY requested_at
        """,
      erase: "DELETE FROM upstream_revocations WHERE user_id = ?1"),
    AccountTable(
      "oauth_access_tokens",
      shown: """
        SELECT json_object('grant_id', grant_id, 'expires_at', expires_at) FROM oauth_access_tokens
        WHERE grant_id IN (SELECT id FROM oauth_grants WHERE user_id = ?1)
        ORDER BY grant_id, expires_at
        """,
      erase: """
        DELETE FROM oauth_access_tokens
        WHERE grant_id IN (SELECT id FROM oauth_grants WHERE user_id = ?1)
        """),
    AccountTable(
      "oauth_grants",
      shown: """
        SELECT json_object('id', id, 'connection_id', connection_id, 'client_id', client_id,
          'client_name', client_name, 'resource', resource, 'scope', scope,
          'redirect_uri', redirect_uri, 'created_at', created_at, 'refreshed_at', rotated_at,
          'expires_at', expires_at)
        FROM oauth_grants WHERE user_id = ?1 ORDER BY created_at, id
        """,
      erase: "DELETE FROM oauth_grants WHERE user_id = ?1"),
    AccountTable(
      "user_keys",
      shown: """
        SELECT json_object('id', id, 'name', name, 'created_at', created_at,
          'expires_at', expires_at, 'last_used_at', last_used_at)
        FROM user_keys WHERE user_id = ?1 ORDER BY created_at, id
        """,
      erase: "DELETE FROM user_keys WHERE user_id = ?1"),
    AccountTable(
      "space_api_keys",
      shown: """
        SELECT json_object('id', id, 'space_id', space_id, 'name', name, 'may_read', may_read,
          'may_use', may_use, 'may_write', may_write, 'created_at', created_at,
          'expires_at', expires_at, 'last_used_at', last_used_at)
        FROM space_api_keys WHERE space_id IN (SELECT id FROM spaces WHERE user_id = ?1)
        ORDER BY created_at, id
        """,
      erase: """
        DELETE FROM space_api_keys WHERE space_id IN (SELECT id FROM spaces WHERE user_id = ?1)
        """),
    AccountTable(
      "space_connections",
      shown: """
        SELECT json_object('space_id', space_id, 'connection_id', connection_id)
        FROM space_connections WHERE space_id IN (SELECT id FROM spaces WHERE user_id = ?1)
        ORDER BY space_id, connection_id
        """,
      erase: """
        DELETE FROM space_connections
        WHERE space_id IN (SELECT id FROM spaces WHERE user_id = ?1)
        """),
    AccountTable(
      "spaces",
      shown: """
        SELECT json_object('id', id, 'name', name, 'created_at', created_at)
        FROM spaces WHERE user_id = ?1 ORDER BY created_at, id
        """,
      erase: "DELETE FROM spaces WHERE user_id = ?1"),
    AccountTable(
      "activity",
      shown: """
        SELECT json_object('connection_id', connection_id, 'credential_id', credential_id,
          'at_ms', at_ms, 'status', status, 'method_name', method_name,
          'duration_ms', duration_ms, 'network', network)
        FROM activity WHERE connection_id IN (SELECT id FROM connections WHERE user_id = ?1)
        ORDER BY connection_id, at_ms, id
        """,
      erase: """
        DELETE FROM activity
        WHERE connection_id IN (SELECT id FROM connections WHERE user_id = ?1)
        """),
    AccountTable(
      "credential_use",
      shown: """
        SELECT json_object('connection_id', connection_id, 'credential_id', credential_id,
          'last_used_at', last_used_at, 'requests', requests)
        FROM credential_use
        WHERE connection_id IN (SELECT id FROM connections WHERE user_id = ?1)
        ORDER BY connection_id, credential_id
        """,
      erase: """
        DELETE FROM credential_use
        WHERE connection_id IN (SELECT id FROM connections WHERE user_id = ?1)
        """),
    AccountTable(
      "credentials",
      shown: """
        SELECT json_object('id', id, 'connection_id', connection_id, 'name', name,
          'networks', networks, 'tools', tools, 'created_at', created_at,
          'expires_at', expires_at, 'revoked_at', revoked_at)
        FROM credentials WHERE connection_id IN (SELECT id FROM connections WHERE user_id = ?1)
        ORDER BY created_at, id
        """,
      erase: """
        DELETE FROM credentials
        WHERE connection_id IN (SELECT id FROM connections WHERE user_id = ?1)
        """),
    AccountTable(
      "connections",
      shown: """
        SELECT json_object('id', id, 'service', service, 'label', label, 'status', status,
          'auth_type', auth_type, 'key_storage_mode', key_storage_mode, 'networks', networks,
          'created_at', created_at, 'expires_at', expires_at, 'needs_reauth_at', needs_reauth_at,
          'revoked_at', revoked_at, 'suspended_at', suspended_at)
        FROM connections WHERE user_id = ?1 ORDER BY created_at, id
        """,
      erase: "DELETE FROM connections WHERE user_id = ?1"),
    AccountTable(
      "sessions",
      shown: """
        SELECT json_object('id', id, 'created_at', created_at, 'refreshed_at', rotated_at,
          'expires_at', expires_at)
        FROM sessions WHERE user_id = ?1 ORDER BY created_at
        """,
      erase: "DELETE FROM sessions WHERE user_id = ?1"),
    AccountTable(
      "password_hashes",
      shown: """
        SELECT json_object('algorithm', algorithm, 'changed_at', changed_at)
        FROM password_hashes WHERE user_id = ?1
        """,
      erase: "DELETE FROM password_hashes WHERE user_id = ?1"),
    AccountTable(
      "password_resets",
      shown: "SELECT json_object('asked_at', asked_at) FROM password_resets WHERE user_id = ?1",
      erase: "DELETE FROM password_resets WHERE user_id = ?1"),
    AccountTable(
      "plans",
      shown: """
        SELECT json_object('version', version, 'plan', plan, 'quantity', quantity,
          'past_due_since', past_due_since, 'access_until', access_until,
          'paid_until', paid_until, 'why', why, 'set_at', set_at, 'ends_at', ends_at)
        FROM plans WHERE user_id = ?1
        """,
      erase: "DELETE FROM plans WHERE user_id = ?1"),
    AccountTable(
      "clerk_identities",
      shown: """
        SELECT json_object('subject', subject, 'created_at', created_at)
        FROM clerk_identities WHERE user_id = ?1
        """,
      erase: "DELETE FROM clerk_identities WHERE user_id = ?1"),
    AccountTable(
      "interest",
      shown: """
        SELECT json_object('service', service, 'at', at) FROM interest WHERE user_id = ?1
        ORDER BY at
        """,
      // What was asked for still counts, without who.
      erase: "UPDATE interest SET user_id = NULL WHERE user_id = ?1"),
    AccountTable(
      "mail_queue",
      shown: """
        SELECT json_object('kind', kind, 'recipient', recipient, 'subject', subject,
          'created_at', created_at, 'state', state, 'sent_at', sent_at)
        FROM mail_queue WHERE recipient IN (SELECT email FROM users WHERE id = ?1)
        ORDER BY created_at
        """,
      erase: """
        DELETE FROM mail_queue WHERE user_id = ?1
          OR recipient IN (SELECT email FROM users WHERE id = ?1)
        """),
    // Billing forgets its rows itself, when it has noted what Stripe is to be told.
    AccountTable(
      "stripe_customers",
      shown: """
        SELECT json_object('id', id, 'linked_at', linked_at) FROM stripe_customers
        WHERE user_id = ?1 ORDER BY linked_at
        """,
      erase: nil),
    AccountTable(
      "subscriptions",
      shown: """
        SELECT json_object('id', id, 'customer_id', customer_id, 'status', status,
          'quantity', quantity, 'period_end', period_end, 'cancel_at', cancel_at,
          'cancels_at_period_end', cancels_at_period_end, 'ended_at', ended_at,
          'created_at', created_at)
        FROM subscriptions
        WHERE customer_id IN (SELECT id FROM stripe_customers WHERE user_id = ?1) ORDER BY id
        """,
      erase: nil),
    AccountTable(
      "billing_standings",
      shown: """
        SELECT json_object('version', version, 'plan', plan, 'quantity', quantity,
          'past_due_since', past_due_since, 'access_until', access_until,
          'paid_until', paid_until, 'why', why)
        FROM billing_standings WHERE user_id = ?1
        """,
      erase: nil),
    AccountTable(
      "billing_trail",
      shown: """
        SELECT json_object('at', at, 'text', text) FROM billing_trail
        WHERE user_id = ?1
          OR customer_id IN (SELECT id FROM stripe_customers WHERE user_id = ?1)
        ORDER BY sequence
        """,
      erase: nil),
    AccountTable("billing_mails", shown: nil, erase: nil),
    AccountTable("billing_departed", shown: nil, erase: nil),
    AccountTable(
      "stripe_inbox",
      shown: """
        SELECT json_object('id', id, 'type', type, 'created_at', created_at,
          'object_id', object_id, 'customer_id', customer_id, 'received_at', received_at,
          'state', state)
        FROM stripe_inbox
        WHERE customer_id IN (SELECT id FROM stripe_customers WHERE user_id = ?1)
        ORDER BY sequence
        """,
      erase: nil),
    AccountTable(
      "audit",
      shown: """
        SELECT json_object('at', at, 'event', event, 'connection_id', connection_id,
          'credential_id', credential_id, 'session_id', session_id)
        FROM audit WHERE user_id = ?1 ORDER BY id
        """,
      erase: "DELETE FROM audit WHERE user_id = ?1"),
    AccountTable(
      "audit_log",
      shown: """
        SELECT json_object('at', l.at, 'event', l.event, 'about', l.about)
        FROM audit_log AS l JOIN audit_subjects AS s ON s.subject = l.subject
        WHERE s.user_id = ?1 ORDER BY l.sequence
        """,
      // It stays; whose it was, only the row of audit_subjects says.
      erase: nil),
    AccountTable(
      "audit_subjects", shown: nil, erase: "DELETE FROM audit_subjects WHERE user_id = ?1"),
    AccountTable(
      "users",
      shown: """
        SELECT json_object('id', id, 'email', email, 'created_at', created_at)
        FROM users WHERE id = ?1
        """,
      erase: "DELETE FROM users WHERE id = ?1"),
  ]

  /// Tables of tokens.sqlite, by connection: ?1 is one of the person's.
  static let tokenTables: [AccountTable] = [
    AccountTable(
      "refresh_journal",
      shown: """
        SELECT json_object('connection_id', connection_id, 'attempt', attempt,
          'started_at_ms', started_at_ms)
        FROM refresh_journal WHERE connection_id = ?1
        """,
      erase: "DELETE FROM refresh_journal WHERE connection_id = ?1"),
    AccountTable(
      "refresh_state",
      shown: """
        SELECT json_object('connection_id', connection_id, 'refreshed_at', refreshed_at,
          'refresh_expires_at', refresh_expires_at, 'needs_reauth_at', needs_reauth_at,
          'failure', failure, 'failures', failures, 'next_try_at', next_try_at,
          'warned_at', warned_at, 'reminded_at', reminded_at)
        FROM refresh_state WHERE connection_id = ?1
        """,
      erase: "DELETE FROM refresh_state WHERE connection_id = ?1"),
    AccountTable(
      "token_blobs",
      shown: """
        SELECT json_object('connection_id', connection_id, 'expires_at', expires_at,
          'updated_at', updated_at)
        FROM token_blobs WHERE connection_id = ?1
        """,
      erase: "DELETE FROM token_blobs WHERE connection_id = ?1"),
  ]

  /// Tables that name nobody, and why.
  static let impersonal: [String: String] = [
    "audit_cuts": "where the log was cut",
    "billing_contact": "when billing was last heard from",
    "billing_farewells": "ids of deleted accounts, until billing has forgotten them",
    "blocklist": "addresses that guessed credentials",
    "clerk_farewells": "a digest, against tokens from before a deletion",
    "erased_connections": "connections of nobody any more",
    "job_state": "what jobs counted",
    "key_rotations": "fingerprints of master keys",
    "oauth_clients": "programs that registered themselves",
    "oauth_registrations": "our clients at providers",
    "schema_migrations": "the schema",
    "signing_keys": "public halves of our keys",
    "sqlite_sequence": "the database's own",
    "stripe_farewells": "customers of nobody any more, until Stripe was told",
    "billing_marks": "what billing remembers of its own doing",
    "stripe_posts": "keys of requests under way",
  ]
}
