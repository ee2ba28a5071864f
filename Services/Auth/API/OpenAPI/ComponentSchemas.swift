// The shapes that several answers share. Each says what the writers of JSON in this service write;
// the tests hold real answers against them.

import Accounts

/// Named schemas of the document.
enum ComponentSchemas {
  static let all: [(name: String, value: JSONText)] = [
    (
      "Error",
      Schema.body(
        needed: [("error", Schema.string), ("message", Schema.string)],
        may: [
          (
            "reason",
            [
              "type": "string", "description": "Why a plan forbids it",
              "enum": .array(PlanRefusal.allCases.map { .string($0.rawValue) }),
            ]
          )
        ])
    ),
    ("OAuthError", oauthError), ("SignedIn", signedIn), ("Me", me), ("Service", service),
    ("Connection", connection),
    ("Credential", credential), ("Activity", activity), ("Key", RouteDescription.keySchema),
    ("SpaceKey", RouteDescription.spaceKeySchema), ("Space", space),
  ]

  private static let oauthError = Schema.object(
    ("error", Schema.string), ("error_description", Schema.string))

  private static let signedIn = Schema.object(
    ("user", Schema.object(("id", Schema.id), ("email", Schema.string))),
    ("access_token", Schema.string), ("refresh_token", Schema.string),
    ("token_type", ["const": "bearer"]), ("expires_in", Schema.integer))

  private static let me = Schema.object(
    ("id", Schema.id), ("email", Schema.maybeString), ("plan", Schema.string),
    ("max_connections", ["type": ["integer", "null"]]), ("active_connections", Schema.integer),
    ("suspended_connections", Schema.integer),
    ("trial_ends_at", Schema.maybeTime), ("access_until", Schema.maybeTime),
    ("past_due_since", Schema.maybeTime), ("paid_connections", Schema.integer))

  private static let service = Schema.object(
    ("id", Schema.string), ("name", Schema.string), ("supports_oauth", Schema.boolean),
    ("supports_api_key", Schema.boolean), ("api_key_instructions", Schema.maybeString),
    ("managed_supported", Schema.boolean))

  private static let connection = Schema.object(
    ("id", Schema.id), ("service", Schema.string), ("label", Schema.string),
    ("status", Schema.choice("active", "suspended", "error", "revoked")),
    ("auth_type", Schema.choice("api_key", "oauth")), ("key_storage_mode", Schema.mode),
    ("networks", Schema.networks), ("created_at", Schema.time),
    ("last_used_at", Schema.maybeTime), ("expires_at", Schema.maybeTime),
    ("needs_reauth_at", Schema.maybeTime))

  /// `client_id` is there for what an MCP client was granted.
  private static let credential = Schema.body(
    needed: [
      ("id", Schema.id), ("name", Schema.string), ("networks", Schema.networks),
      ("tools", ["type": ["array", "null"], "items": Schema.string]), ("created_at", Schema.time),
      ("expires_at", Schema.maybeTime), ("last_used_at", Schema.maybeTime),
    ], may: [("client_id", Schema.string)])

  private static let activity = Schema.object(
    ("at", Schema.time), ("status", Schema.integer), ("method_name", Schema.maybeString),
    ("duration_ms", Schema.integer), ("network", Schema.string))

  private static let space = Schema.object(
    ("id", Schema.id), ("name", Schema.string), ("connections", Schema.list(Schema.id)),
    ("created_at", Schema.time))
}
