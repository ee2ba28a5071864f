// Answers who may write which table: the one place where ownership is written down. A table that
// is not listed is written by nobody. Enforced when a statement is compiled (WriteGuard), so a
// statement that breaks it never runs. Reading is open to every process that has the file.

/// Which processes may change the rows of a table.
public struct TableOwnership: Sendable {
  /// May insert, update and delete.
  public let owners: Set<ProcessRole>
  /// May delete rows in the course of forgetting an account, though it does not own the table.
  public let erasers: Set<ProcessRole>

  init(_ owners: Set<ProcessRole>, erasers: Set<ProcessRole> = []) {
    self.owners = owners
    self.erasers = erasers
  }

  /// Every table of both databases.
  public static let tables: [String: TableOwnership] = [
    // bindery.sqlite, written by auth
    "users": TableOwnership([.auth]),
    "password_hashes": TableOwnership([.auth]),
    "sessions": TableOwnership([.auth]),
    "connections": TableOwnership([.auth]),
    "credentials": TableOwnership([.auth]),
    "audit": TableOwnership([.auth]),
    "audit_subjects": TableOwnership([.auth]),
    "audit_log": TableOwnership([.auth]),
    "audit_cuts": TableOwnership([.auth]),
    "password_resets": TableOwnership([.auth]),
    "erased_connections": TableOwnership([.auth]),
    "clerk_identities": TableOwnership([.auth]),
    "clerk_farewells": TableOwnership([.auth]),
    "interest": TableOwnership([.auth]),
    "pending_authorizations": TableOwnership([.auth]),
    "claims": TableOwnership([.auth]),
    "oauth_registrations": TableOwnership([.auth]),
    "parted_wraps": TableOwnership([.auth]),
    "parted_grants": TableOwnership([.auth]),
    "upstream_revocations": TableOwnership([.auth]),
    "key_rotations": TableOwnership([.auth]),
    "oauth_clients": TableOwnership([.auth]),
    "oauth_grants": TableOwnership([.auth]),
    "oauth_access_tokens": TableOwnership([.auth]),
    "signing_keys": TableOwnership([.auth]),
    "user_keys": TableOwnership([.auth]),
    "spaces": TableOwnership([.auth]),
    "space_connections": TableOwnership([.auth]),
    "space_api_keys": TableOwnership([.auth]),
    "plans": TableOwnership([.auth]),
    "billing_contact": TableOwnership([.auth]),
    "billing_farewells": TableOwnership([.auth]),

    // bindery.sqlite, written by the edge
    "credential_use": TableOwnership([.edge], erasers: [.auth]),
    "activity": TableOwnership([.edge], erasers: [.auth]),
    "blocklist": TableOwnership([.edge], erasers: [.operatorTool]),

    // bindery.sqlite, written by billing
    "stripe_inbox": TableOwnership([.billing]),
    "stripe_customers": TableOwnership([.billing]),
    "subscriptions": TableOwnership([.billing]),
    "billing_standings": TableOwnership([.billing]),
    "billing_trail": TableOwnership([.billing]),
    "billing_mails": TableOwnership([.billing]),
    "stripe_posts": TableOwnership([.billing]),
    "stripe_farewells": TableOwnership([.billing]),
    "billing_departed": TableOwnership([.billing]),
    "billing_marks": TableOwnership([.billing]),

    // bindery.sqlite, written by the scheduler
    "job_state": TableOwnership([.scheduler]),
    "mail_queue": TableOwnership([.scheduler], erasers: [.auth]),

    // tokens.sqlite: auth writes the first generation, the scheduler every later one
    "token_blobs": TableOwnership([.auth, .scheduler]),

    // tokens.sqlite, written by the scheduler
    "refresh_journal": TableOwnership([.scheduler], erasers: [.auth]),
    "refresh_state": TableOwnership([.scheduler], erasers: [.auth]),

    // both, written by the migration runner, which opens with the right to change the schema
    "schema_migrations": TableOwnership([]),
  ]
}
