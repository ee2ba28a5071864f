// Descriptions of the authorization server's paths. Their errors are OAuth's, {error,
// error_description}, but for the page that people see, which answers in HTML.

import HTTPCodec

/// What a path of the authorization server does with one method.
struct AuthorizationServerOperation {
  let id: String
  let method: HTTPCodec.Method
  let pattern: String
  let description: RouteDescription
  var refusals: [OAuthRefusal] = []
}

extension AuthorizationServerRoutes.Path {
  /// What it does.
  var operations: [AuthorizationServerOperation] {
    switch self {
    case .serverMetadata:
      [
        .init(
          id: "serverMetadata", method: .get, pattern: "/.well-known/oauth-authorization-server",
          description: .document("RFC 8414: about this authorization server"))
      ]
    case .resourceMetadata:
      [
        .init(
          id: "resourceMetadata", method: .get, pattern: ServerDocuments.resourcePrefix,
          description: .document("RFC 9728: about this installation as a resource")),
        .init(
          id: "serviceMetadata", method: .get,
          pattern: ServerDocuments.resourcePrefix + "/mcp/{service}",
          description: .document(
            "RFC 9728: about a service behind this installation", refusals: [.notFound])),
      ]
    case .authorize:
      [HTTPCodec.Method.get, .post].map {
        .init(
          id: $0 == .get ? "authorizePage" : "authorizeForm", method: $0,
          pattern: "/oauth/authorize",
          description: .authorizePage(hasBody: $0 == .post))
      }
    case .token:
      [
        .init(
          id: "exchange", method: .post, pattern: "/oauth/token", description: .exchange,
          refusals: Self.client + [
            .invalidGrant, .unauthorizedClient, .unsupportedGrantType, .invalidScope,
            .invalidTarget,
          ])
      ]
    case .register:
      [
        .init(
          id: "registerClient", method: .post, pattern: "/oauth/register",
          description: .registerClient,
          refusals: [
            .invalidRedirectURI, .invalidClientMetadata, .tooManyAttempts(retryAfterSeconds: 1),
            .overloaded, .failed,
          ])
      ]
    case .revoke:
      [
        .init(
          id: "revokeToken", method: .post, pattern: "/oauth/revoke", description: .revokeToken,
          refusals: Self.client + [.invalidGrant, .unsupportedTokenType])
      ]
    case .introspect:
      [
        .init(
          id: "introspect", method: .post, pattern: "/oauth/introspect", description: .introspect,
          refusals: Self.client)
      ]
    }
  }

  /// What meets any request that a client has to prove itself for.
  private static let client: [OAuthRefusal] = [
    .invalidRequest, .invalidClient(basic: true), .tooManyAttempts(retryAfterSeconds: 1),
    .overloaded, .failed,
  ]
}

extension RouteDescription {
  fileprivate static func document(_ summary: String, refusals: [Refusal] = []) -> RouteDescription
  {
    RouteDescription(
      summary: summary, answers: [.json(["type": "object"], "A metadata document")],
      refusals: refusals)
  }

  fileprivate static func authorizePage(hasBody: Bool) -> RouteDescription {
    let page = "text/html; charset=utf-8"
    return RouteDescription(
      summary: hasBody ? "Sign in, or decide" : "Where an MCP client sends a person to",
      query: [
        "response_type", "client_id", "redirect_uri", "scope", "state", "resource",
        "code_challenge", "code_challenge_method", "prompt",
      ].map { Query(name: $0, isNeeded: false, schema: Schema.string) },
      body: hasBody
        ? .form(
          Schema.body(
            needed: [],
            may: ["form_token", "email", "password", "connection", "decision"].map {
              (name: $0, schema: Schema.string)
            })) : nil,
      answers: [
        .text(page, status: 200, "A form"), .redirect("Back to the client"),
        .redirect("Back to the client, or to the form once more", status: 303),
      ]
        + [400, 403, 404, 405, 413, 415, 429, 500, 502, 503].map {
          .text(page, status: $0, "A page that says why not")
        })
  }

  private static func form(
    _ needed: [String], _ may: [String]
  ) -> Body {
    .form(
      Schema.body(
        needed: needed.map { (name: $0, schema: Schema.string) },
        may: (may + ["client_id", "client_secret"]).map { (name: $0, schema: Schema.string) }))
  }

  fileprivate static let exchange = RouteDescription(
    summary: "Tokens for a code or a refresh token",
    body: form(
      ["grant_type"],
      ["code", "redirect_uri", "code_verifier", "refresh_token", "resource", "scope"]
    ),
    answers: [
      .json(
        Schema.object(
          ("access_token", Schema.string), ("token_type", ["const": "Bearer"]),
          ("expires_in", Schema.integer), ("refresh_token", Schema.string),
          ("scope", Schema.string)))
    ])

  fileprivate static let registerClient = RouteDescription(
    summary: "Register a client (RFC 7591)",
    body: .json(
      Schema.body(
        needed: [("redirect_uris", Schema.list(Schema.string))],
        may: [
          ("client_name", Schema.string), ("token_endpoint_auth_method", Schema.string),
          ("grant_types", Schema.list(Schema.string)),
          ("response_types", Schema.list(Schema.string)), ("scope", Schema.string),
        ])),
    answers: [
      .json(
        Schema.body(
          needed: [
            ("client_id", Schema.string), ("client_id_issued_at", Schema.integer),
            ("redirect_uris", Schema.list(Schema.string)),
            ("token_endpoint_auth_method", Schema.string),
            ("grant_types", Schema.list(Schema.string)),
            ("response_types", Schema.list(Schema.string)), ("scope", Schema.string),
          ],
          may: [
            ("client_name", Schema.string), ("client_secret", Schema.string),
            ("client_secret_expires_at", Schema.integer),
          ]), status: 201, "Registered")
    ])

  fileprivate static let revokeToken = RouteDescription(
    summary: "End a token (RFC 7009)", body: form(["token"], ["token_type_hint"]),
    answers: [
      Answer(status: 200, meaning: "It is not valid any more", schema: nil, mediaType: "")
    ])

  fileprivate static let introspect = RouteDescription(
    summary: "Is a token of mine valid (RFC 7662)", body: form(["token"], ["token_type_hint"]),
    answers: [
      .json(
        Schema.body(
          needed: [("active", Schema.boolean)],
          may: ["scope", "client_id", "sub", "aud", "iss", "token_type"].map {
            (name: $0, schema: Schema.string)
          } + [("exp", Schema.integer)]))
    ])
}
