// Descriptions of the routes of programs' keys and of spaces.
// What any route may answer stands in RouteRefusals.

import Accounts

extension RouteDescription {
  private static let key: [(name: String, schema: JSONText)] = [
    ("id", Schema.id), ("name", Schema.string), ("created_at", Schema.time),
    ("expires_at", Schema.maybeTime), ("last_used_at", Schema.maybeTime),
  ]
  private static let permissions = Schema.list([
    "type": "string", "enum": .array(SpacePermissions.names.map { .string($0.name) }),
  ])
  private static let shown: [(name: String, schema: JSONText)] = [("key", Schema.string)]
  private static let keyBody: [(name: String, schema: JSONText)] = [
    ("name", ["type": ["string", "null"], "minLength": 1, "maxLength": 256]),
    ("expires_in", Schema.expiresIn),
  ]
  private static let namedKey = Body.json(Schema.object(("id", Schema.string)))

  /// A key in answers.
  static let keySchema = Schema.body(needed: key, may: [])
  /// A space's key in answers.
  static let spaceKeySchema = Schema.body(needed: key + [("permissions", permissions)], may: [])

  static let listKeys = RouteDescription(
    summary: "A person's keys for programs, without the keys",
    answers: [.json(Schema.object(("keys", Schema.list(Schema.named("Key")))))])

  static let addKey = RouteDescription(
    summary: "Make a userk_ key",
    body: .json(Schema.body(needed: [], may: keyBody), isNeeded: false),
    answers: [
      .json(Schema.body(needed: key + shown, may: []), status: 201, "Made; shown here alone")
    ],
    refusals: [.bodyInvalid(.name), .tooMany])

  static let revokeKey = RouteDescription(
    summary: "End a userk_ key", answers: [.json(Schema.done)], refusals: [.notFound])

  static let revokeNamedKey = RouteDescription(
    summary: "End the userk_ key that the body names", body: namedKey,
    answers: [.json(Schema.done)], refusals: [.notFound])

  private static let connections: JSONText = [
    "type": "array", "items": Schema.string, "maxItems": .integer(Int64(SpaceBody.connectionsMax)),
  ]

  static let listSpaces = RouteDescription(
    summary: "The spaces, oldest first",
    answers: [.json(Schema.object(("spaces", Schema.list(Schema.named("Space")))))])

  static let addSpace = RouteDescription(
    summary: "Make a space of some connections",
    body: .json(
      Schema.body(needed: [("name", Schema.label)], may: [("connections", connections)])),
    answers: [.json(Schema.named("Space"), status: 201, "Made")],
    refusals: [.bodyInvalid(.name), .notFound, .tooMany])

  static let readSpace = RouteDescription(
    summary: "One space", answers: [.json(Schema.named("Space"))], refusals: [.notFound])

  static let changeSpace = RouteDescription(
    summary: "Change a space's name, its connections, or both",
    body: .json(
      Schema.body(needed: [], may: [("name", Schema.label), ("connections", connections)])),
    answers: [.json(Schema.named("Space"))],
    refusals: [.bodyInvalid(.name), .notFound])

  static let removeSpace = RouteDescription(
    summary: "End a space and its keys; its connections stay", answers: [.json(Schema.done)],
    refusals: [.notFound])

  static let listSpaceKeys = RouteDescription(
    summary: "A space's keys, without the keys",
    answers: [.json(Schema.object(("keys", Schema.list(Schema.named("SpaceKey")))))],
    refusals: [.notFound])

  static let addSpaceKey = RouteDescription(
    summary: "Make a spacek_ key",
    body: .json(
      Schema.body(needed: [], may: keyBody + [("permissions", permissions)]), isNeeded: false),
    answers: [
      .json(
        Schema.body(needed: key + shown + [("permissions", permissions)], may: []), status: 201,
        "Made; shown here alone")
    ],
    refusals: [.bodyInvalid(.permissions), .notFound, .tooMany])

  static let revokeSpaceKey = RouteDescription(
    summary: "End a spacek_ key", answers: [.json(Schema.done)], refusals: [.notFound])

  static let revokeNamedSpaceKey = RouteDescription(
    summary: "End the spacek_ key that the body names", body: namedKey,
    answers: [.json(Schema.done)], refusals: [.notFound])
}
