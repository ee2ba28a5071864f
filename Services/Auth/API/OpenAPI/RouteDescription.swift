// What a route takes and answers, for the OpenAPI document. Written beside the route: a route without
// a description does not compile. What follows from other rules (who may call, that there is a body)
// is added when the document is made.

import HTTPCodec

/// One route for readers.
struct RouteDescription {
  /// A parameter in the query.
  struct Query {
    let name: String
    let isNeeded: Bool
    let schema: JSONText
  }

  /// What a body must be.
  struct Body {
    let schema: JSONText
    let isNeeded: Bool
    let mediaType: String

    static func json(_ schema: JSONText, isNeeded: Bool = true) -> Body {
      Body(schema: schema, isNeeded: isNeeded, mediaType: "application/json")
    }

    static func form(_ schema: JSONText) -> Body {
      Body(schema: schema, isNeeded: true, mediaType: "application/x-www-form-urlencoded")
    }
  }

  /// What is answered when the request is done.
  struct Answer {
    let status: Int
    let meaning: String
    /// Nil for an answer without a body.
    let schema: JSONText?
    let mediaType: String

    static func json(_ schema: JSONText, status: Int = 200, _ meaning: String = "Done") -> Answer {
      Answer(status: status, meaning: meaning, schema: schema, mediaType: "application/json")
    }

    /// A redirect.
    static func redirect(_ meaning: String, status: Int = 302) -> Answer {
      Answer(status: status, meaning: meaning, schema: nil, mediaType: "")
    }

    /// A page or a text.
    static func text(_ mediaType: String, status: Int, _ meaning: String) -> Answer {
      Answer(
        status: status, meaning: meaning, schema: ["type": "string"], mediaType: mediaType)
    }
  }

  let summary: String
  var query: [Query] = []
  var body: Body?
  let answers: [Answer]
  /// The refusals that no other rule brings with it.
  var refusals: [Refusal] = []
}

/// The words of JSON Schema that the descriptions use.
enum Schema {
  static let string: JSONText = ["type": "string"]
  static let boolean: JSONText = ["type": "boolean"]
  static let integer: JSONText = ["type": "integer"]
  static let id: JSONText = [
    "type": "string", "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
  ]
  static let time: JSONText = ["type": "string", "format": "date-time"]
  static let maybeTime: JSONText = ["type": ["string", "null"], "format": "date-time"]
  static let maybeString: JSONText = ["type": ["string", "null"]]
  static let label: JSONText = ["type": "string", "minLength": 1, "maxLength": 256]
  static let networks: JSONText = [
    "type": ["array", "null"], "items": string, "minItems": 1, "maxItems": 64,
    "description": "CIDRs or named ranges; null: anywhere",
  ]
  static let mode = choice("zero_knowledge", "managed")
  static let expiresIn: JSONText = [
    "type": ["integer", "null"], "minimum": .integer(CredentialBody.expiresInRange.lowerBound),
    "maximum": .integer(CredentialBody.expiresInRange.upperBound), "description": "Seconds",
  ]
  static let done = object(("success", ["const": true]))

  static func choice(_ values: String...) -> JSONText {
    ["type": "string", "enum": .array(values.map { .string($0) })]
  }

  static func list(_ items: JSONText) -> JSONText { ["type": "array", "items": items] }

  static func named(_ name: String) -> JSONText {
    ["$ref": .string("#/components/schemas/\(name)")]
  }

  /// An object all of whose members are always there.
  static func object(_ members: (name: String, schema: JSONText)...) -> JSONText {
    body(needed: members, may: [])
  }

  /// An object with members that may be absent.
  static func body(
    needed: [(name: String, schema: JSONText)], may: [(name: String, schema: JSONText)]
  ) -> JSONText {
    [
      "type": "object", "required": .array(needed.map { .string($0.name) }),
      "properties": .object((needed + may).map { (name: $0.name, value: $0.schema) }),
    ]
  }
}
