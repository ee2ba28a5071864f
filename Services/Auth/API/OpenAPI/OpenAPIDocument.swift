// Makes the OpenAPI 3.1 document from the list of routes: paths, parameters, who may call, answers
// and every refusal with its code. There is no second list that could say something else.

import HTTPCodec

/// The document.
enum OpenAPIDocument {
  static let version = "3.1.0"

  /// The document for an installation at `origin`.
  static func make(origin: String, cookie: String) -> JSONText {
    var paths: [(name: String, value: JSONText)] = []
    for route in Route.allCases {
      let (method, pattern) = route.shape
      let operation = (
        name: String(describing: method.text).lowercased(), value: operation(route)
      )
      if let index = paths.firstIndex(where: { $0.name == pattern }) {
        guard case .object(let members) = paths[index].value else { continue }
        paths[index].value = .object(members + [operation])
      } else {
        paths.append((name: pattern, value: .object(parameters(in: pattern) + [operation])))
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

  private static func operation(_ route: Route) -> JSONText {
    let described = route.description
    var members: [(name: String, value: JSONText)] = [
      ("operationId", .string("\(route)")), ("summary", .string(described.summary)),
      ("security", security(route.access)),
    ]
    if case .connections(let needed) = route.access {
      members.append(("x-permissions", .array(needed.list.map { .string($0) })))
    }
    if !described.query.isEmpty {
      members.append(
        (
          "parameters",
          .array(
            described.query.map {
              [
                "name": .string($0.name), "in": "query", "required": .boolean($0.isNeeded),
                "schema": $0.schema,
              ]
            })
        ))
    }
    if let body = described.body {
      members.append(
        (
          "requestBody",
          [
            "required": .boolean(body.isNeeded),
            "content": .object([
              (name: body.mediaType, value: .object([("schema", body.schema)]))
            ]),
          ]
        ))
    }
    members.append(("responses", responses(route, described)))
    return .object(members)
  }

  private static func security(_ access: RouteAccess) -> JSONText {
    let either: JSONText = [["session": []], ["bearer": []]]
    return access == .everyone ? [] : either
  }

  /// Answers by status, then refusals by status with the codes that it may carry.
  private static func responses(_ route: Route, _ described: RouteDescription) -> JSONText {
    var members: [(name: String, value: JSONText)] = []
    var media: [String: [(name: String, value: JSONText)]] = [:]
    for answer in described.answers {
      var content: [(name: String, value: JSONText)] = []
      if let schema = answer.schema {
        content = [(name: answer.mediaType, value: JSONText.object([("schema", schema)]))]
        media[String(answer.status)] = content
      }
      members.append(response(answer.status, answer.meaning, content))
    }
    var codes: [(status: Int, code: String)] = []
    for refusal in RouteRefusals.all(of: route, described) {
      let (status, code, _) = refusal.wire
      if !codes.contains(where: { $0 == (status, code) }) { codes.append((status, code)) }
    }
    for status in Set(codes.map(\.status)).sorted() {
      let names = codes.filter { $0.status == status }.map { "`\($0.code)`" }
      let content = [
        (name: "application/json", value: JSONText.object([("schema", Schema.named("Error"))]))
      ]
      let meaning = names.joined(separator: ", ")
      if let index = members.firstIndex(where: { $0.name == String(status) }) {
        members[index] = response(status, meaning, content + (media[String(status)] ?? []))
      } else {
        members.append(response(status, meaning, content))
      }
    }
    return .object(members)
  }

  private static func response(
    _ status: Int, _ meaning: String, _ content: [(name: String, value: JSONText)]
  ) -> (name: String, value: JSONText) {
    var members: [(name: String, value: JSONText)] = [("description", .string(meaning))]
    if !content.isEmpty { members.append(("content", .object(content))) }
    return (String(status), .object(members))
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
    if route.access != .everyone && route.shape.method != .get { all.append(.originRefused) }
    // A parameter that is no segment, such as an encoded slash, leads to no route.
    if route.shape.pattern.utf8.contains(UInt8(ascii: "{")) { all += [.notFound, .routeUnknown] }
    if described.body != nil { all += [.bodyMalformed, .mediaTypeUnsupported] }
    all.append(.bodyTooLarge)
    return all + everywhere
  }
}
