// Descriptions of the routes of connecting, of connections and of their credentials.
// What any route may answer stands in RouteRefusals.

extension RouteDescription {
  private static let fresh: [(name: String, schema: JSONText)] = [
    ("connection", Schema.named("Connection")), ("secret_url", Schema.string),
    ("api_key", Schema.string),
  ]
  private static let shownCredential: JSONText = [
    "type": ["string", "null"],
    "description": "A secret URL or API key of this connection that works",
  ]

  static let connectWithAPIKey = RouteDescription(
    summary: "Connect a service with an API key",
    body: .json(
      Schema.body(
        needed: [("api_key", ["type": "string", "minLength": 1, "maxLength": 4096])],
        may: [
          ("key_storage_mode", Schema.mode), ("label", Schema.label),
          ("networks", Schema.networks),
        ])),
    answers: [.json(Schema.body(needed: fresh, may: []), status: 201, "Connected")],
    refusals: [
      .serviceUnknown, .authNotSupported, .managedModeOff, .apiKeyRefused,
      .bodyInvalid(.apiKey), .serviceUnreachable, .tooMany, .planForbids(.limitReached),
    ])

  static let authorize = RouteDescription(
    summary: "Begin to connect a service by OAuth",
    body: .json(
      Schema.body(
        needed: [],
        may: [
          ("key_storage_mode", Schema.mode), ("replace_connection_id", Schema.maybeString),
          ("return_to", Schema.maybeString),
        ]), isNeeded: false),
    answers: [
      .json(Schema.object(("url", Schema.string)), "Where to send the person; sets a cookie")
    ],
    refusals: [
      .serviceUnknown, .notFound, .oauthNotSupported, .managedModeOff, .clientNotConfigured,
      .bodyInvalid(.returnTo), .discoveryFailed(.noOAuth), .registrationFailed, .tooMany,
      .planForbids(.limitReached),
    ])

  static let callback = RouteDescription(
    summary: "Where providers send people back to",
    query: ["code", "state", "error", "error_description", "iss"].map {
      Query(name: $0, isNeeded: false, schema: Schema.string)
    },
    answers: [
      .redirect("To the dashboard, with a claim token or an error"),
      .text("text/plain; charset=utf-8", status: 400, "The state is unknown or was used"),
    ])

  static let claim = RouteDescription(
    summary: "Pick up a fresh connection, once",
    query: [Query(name: "token", isNeeded: false, schema: Schema.string)],
    answers: [.json(Schema.body(needed: fresh, may: []))],
    refusals: [.claimAbsent, .notOwner, .notFound])

  static let listConnections = RouteDescription(
    summary: "The connections, oldest first",
    answers: [.json(Schema.object(("connections", Schema.list(Schema.named("Connection")))))])

  static let readConnection = RouteDescription(
    summary: "One connection", answers: [.json(Schema.named("Connection"))])

  static let changeConnection = RouteDescription(
    summary: "Change a connection's label, its networks, or both",
    body: .json(
      Schema.body(
        needed: [], may: [("label", Schema.label), ("networks", Schema.networks)])),
    answers: [
      .json(
        Schema.object(
          ("success", ["const": true]), ("label", Schema.string),
          ("connection", Schema.named("Connection"))))
    ],
    refusals: [.bodyInvalid(.label)])

  static let changeMode = RouteDescription(
    summary: "Choose who can open a connection's tokens",
    body: .json(
      Schema.object(("key_storage_mode", Schema.mode), ("credential", Schema.string))),
    answers: [
      .json(
        Schema.object(
          ("success", ["const": true]), ("connection", Schema.named("Connection"))))
    ],
    refusals: [.bodyInvalid(.keyStorageMode), .managedModeOff, .credentialRefused])

  static let revokeConnection = RouteDescription(
    summary: "End a connection and all its credentials",
    body: .json(
      Schema.body(needed: [], may: [("credential", shownCredential)]), isNeeded: false),
    answers: [
      .json(
        Schema.object(
          ("success", ["const": true]),
          ("upstream_revocation", Schema.choice("revoked", "pending", "unsupported"))))
    ],
    refusals: [.credentialRefused])

  static let listCredentials = RouteDescription(
    summary: "The credentials of a connection, without secrets",
    answers: [.json(Schema.object(("credentials", Schema.list(Schema.named("Credential")))))])

  static let addCredential = RouteDescription(
    summary:
      "Make a further secret URL and API key; a zero-knowledge connection needs a credential",
    body: .json(
      Schema.body(
        needed: [("name", Schema.label)],
        may: [
          ("networks", Schema.networks),
          (
            "tools",
            [
              "type": ["array", "null"], "items": Schema.string, "minItems": 1, "maxItems": 128,
            ]
          ), ("expires_in", Schema.expiresIn), ("credential", shownCredential),
        ])),
    answers: [
      .json(
        Schema.object(
          ("credential", Schema.named("Credential")), ("secret_url", Schema.string),
          ("api_key", Schema.string)), status: 201, "Made; the secret is shown here alone")
    ],
    refusals: [.bodyInvalid(.name), .credentialRefused, .tooMany])

  static let revokeCredential = RouteDescription(
    summary: "End one credential", answers: [.json(Schema.done)])

  static let activity = RouteDescription(
    summary: "The last 200 requests of a connection, newest first: metadata alone",
    answers: [.json(Schema.list(Schema.named("Activity")))])
}
