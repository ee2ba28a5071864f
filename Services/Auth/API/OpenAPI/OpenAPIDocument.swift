// Makes the OpenAPI 3.1 document from the list of routes: paths, parameters, who may call, answers
// and every refusal with its code. There is no second list that could say something else.

import HTTPCodec

/// The document.
enum OpenAPIDocument {
  static let version = "3.1.0"

  /// The document for an installation at `origin`.
  static func make(origin: String, cookie: String) -> JSONText {
    var paths: [(name: String, value: JSONText)] = []
    for operation in DescribedOperation.all {
      let member = (
        name: String(describing: operation.method.text).lowercased(), value: operation.json
      )
      if let index = paths.firstIndex(where: { $0.name == operation.pattern }) {
        guard case .object(let members) = paths[index].value else { continue }
        paths[index].value = .object(members + [member])
      } else {
        let parameters = parameters(in: operation.pattern)
        paths.append((name: operation.pattern, value: .object(parameters + [member])))
      }
    }
    return [
      "openapi": .string(version),
      "info": [
        "title": "Bindery", "version": "1",
        "description": "Errors are {error, message}; times are RFC 3339 in UTC.",
      ],
      "servers": [["url": .string(origin)]],
      "paths": .object(paths),
      "components": [
        "schemas": .object(ComponentSchemas.all),
        "securitySchemes": [
          "session": ["type": "apiKey", "in": "cookie", "name": .string(cookie)],
          "bearer": [
            "type": "http", "scheme": "bearer",
            "description": "An access token, a userk_ key, or a spacek_ key where it may",
          ],
        ],
      ],
    ]
  }

  private static func parameters(in pattern: String) -> [(name: String, value: JSONText)] {
    let names = pattern.split(separator: "/").filter { $0.utf8.first == UInt8(ascii: "{") }
      .map { String($0.dropFirst().dropLast()) }
    guard !names.isEmpty else { return [] }
    let all = names.map { name -> JSONText in
      [
        "name": .string(name), "in": "path", "required": true,
        "schema": ["type": "string", "minLength": 1],
      ]
    }
    return [("parameters", .array(all))]
  }
}

/// One operation of the document: a method at a path.
struct DescribedOperation {
  let id: String
  let method: HTTPCodec.Method
  let pattern: String
  let access: RouteAccess
  let description: RouteDescription
  let refusals: [DescribedRefusal]

  /// All operations: of the API, then of the authorization server.
  static var all: [DescribedOperation] {
    Route.allCases.map { DescribedOperation($0) }
      + AuthorizationServerRoutes.Path.allCases.flatMap(\.operations).map {
        DescribedOperation($0)
      }
  }

  private init(_ route: Route) {
    id = "\(route)"
    (method, pattern) = route.shape
    access = route.access
    description = route.description
    refusals = RouteRefusals.all(of: route, route.description).map { DescribedRefusal($0) }
  }

  private init(_ operation: AuthorizationServerOperation) {
    id = operation.id
    method = operation.method
    pattern = operation.pattern
    access = .everyone
    description = operation.description
    let others = operation.description.refusals + [.bodyTooLarge] + RouteRefusals.everywhere
    refusals = operation.refusals.map { DescribedRefusal($0) } + others.map { DescribedRefusal($0) }
  }

  var json: JSONText {
    var members: [(name: String, value: JSONText)] = [
      ("operationId", .string(id)), ("summary", .string(description.summary)),
      ("security", security),
    ]
    if case .connections(let needed) = access {
      members.append(("x-permissions", .array(needed.list.map { .string($0) })))
    }
    if !description.query.isEmpty {
      members.append(("parameters", .array(description.query.map(\.json))))
    }
    if let body = description.body { members.append(("requestBody", body.json)) }
    members.append(("responses", responses))
    return .object(members)
  }

  private var security: JSONText {
    let either: JSONText = [["session": []], ["bearer": []]]
    return access == .everyone ? [] : either
  }

  /// By status: what is answered, and the codes and shapes of refusals.
  private var responses: JSONText {
    let statuses = Set(description.answers.map(\.status) + refusals.map(\.status)).sorted()
    return .object(statuses.map { (name: String($0), value: response($0)) })
  }

  private func response(_ status: Int) -> JSONText {
    var meanings: [String] = []
    var content: [(name: String, value: JSONText)] = []
    for answer in description.answers where answer.status == status {
      meanings.append(answer.meaning)
      guard let schema = answer.schema else { continue }
      content.append((name: answer.mediaType, value: .object([("schema", schema)])))
    }
    var shapes: [String] = []
    for refusal in refusals where refusal.status == status {
      let code = "`\(refusal.code)`"
      if !meanings.contains(code) { meanings.append(code) }
      if !shapes.contains(refusal.shape) { shapes.append(refusal.shape) }
    }
    if !shapes.isEmpty {
      let schemas = shapes.map { Schema.named($0) }
      let schema = schemas.count == 1 ? schemas[0] : .object([("anyOf", .array(schemas))])
      content.append((name: "application/json", value: .object([("schema", schema)])))
    }
    var members: [(name: String, value: JSONText)] = [
      ("description", .string(meanings.joined(separator: ", ")))
    ]
    if !content.isEmpty { members.append(("content", .object(content))) }
    return .object(members)
  }
}

/// A refusal as the document tells of it.
struct DescribedRefusal {
  let status: Int
  let code: String
  /// The name of its schema.
  let shape: String

  init(_ refusal: Refusal) {
    (status, code, _) = refusal.wire
    shape = "Error"
  }

  init(_ refusal: OAuthRefusal) {
    status = refusal.wire.status
    code = "\(refusal.wire.code)"
    shape = "OAuthError"
  }
}

extension RouteDescription.Query {
  fileprivate var json: JSONText {
    [
      "name": .string(name), "in": "query", "required": .boolean(isNeeded), "schema": schema,
    ]
  }
}

extension RouteDescription.Body {
  fileprivate var json: JSONText {
    .object([
      ("required", .boolean(isNeeded)),
      ("content", .object([(name: mediaType, value: .object([("schema", schema)]))])),
    ])
  }
}

/// The refusals that a route's rules bring with them.
enum RouteRefusals {
  /// Those that any request may meet: on its way in, or because somebody is too busy.
  static let everywhere: [Refusal] = [
    .requestMalformed, .originForbidden, .misdirected, .tooMuchAsked, .uriTooLong, .headTooLarge,
    .overloaded, .failed,
  ]

  static func all(of route: Route, _ described: RouteDescription) -> [Refusal] {
    var all = described.refusals
    switch route.access {
    case .everyone: break
    case .session: all += [.unauthenticated, .sessionNeeded, .routeUnknown]
    case .person: all += [.unauthenticated, .routeUnknown]
    case .connections: all += [.unauthenticated, .permissionMissing]
    }
    // Somebody of Clerk may call for the first time.
    if route.access != .everyone { all.append(.usersMaxReached) }
    if route.access != .everyone && route.shape.method != .get { all.append(.originRefused) }
    // A parameter that is no segment, such as an encoded slash, leads to no route.
    if route.shape.pattern.utf8.contains(UInt8(ascii: "{")) { all += [.notFound, .routeUnknown] }
    if described.body != nil { all += [.bodyMalformed, .mediaTypeUnsupported] }
    all.append(.bodyTooLarge)
    return all + everywhere
  }
}
