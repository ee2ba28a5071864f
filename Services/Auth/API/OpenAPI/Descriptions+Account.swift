// Descriptions of the routes of forgotten passwords, of a person's data, and of what anybody may send.
// What any route may answer stands in RouteRefusals.

extension RouteDescription {
  private static let ok = Schema.object(("ok", ["const": true]))

  static let forgotPassword = RouteDescription(
    summary: "Have a link to a new password mailed",
    body: .json(Schema.object(("email", Schema.string))),
    answers: [.json(Schema.done, status: 202, "Done, if there is such an account")],
    refusals: [.originRefused, .localAccountsOff])

  static let resetPassword = RouteDescription(
    summary: "Set a new password with a mailed link; everybody is signed out",
    body: .json(
      Schema.object(
        ("token", Schema.string),
        ("password", ["type": "string", "minLength": 12, "maxLength": 1024]))),
    answers: [.json(Schema.done)],
    refusals: [
      .resetRefused, .bodyInvalid(.password), .originRefused, .localAccountsOff,
      .tooManyAttempts(retryAfterSeconds: 1),
    ])

  static let exportAccount = RouteDescription(
    summary: "Everything that is stored of me, without secrets",
    answers: [
      .json(
        Schema.object(
          ("format", ["const": 1]), ("exported_at", Schema.integer),
          ("users", Schema.list(["type": "object"]))),
        "An object with a list of rows for each table")
    ])

  static let deleteAccount = RouteDescription(
    summary: "Forget me: end every connection and delete everything",
    answers: [
      .json(
        Schema.body(
          needed: [("success", ["const": true])], may: [("warnings", Schema.list(Schema.string))]),
        "Done; warnings name what lies outside of this installation")
    ], refusals: [.deletionFailed])

  static let supportNonce = RouteDescription(
    summary: "A nonce for one message to the help desk",
    answers: [.json(Schema.object(("nonce", Schema.id)))],
    refusals: [.originRefused, .tooManyAttempts(retryAfterSeconds: 1)])

  static let supportTicket = RouteDescription(
    summary: "Write to the help desk",
    body: Body(
      schema: Schema.body(
        needed: [
          ("nonce", Schema.string), ("email", Schema.string), ("topic", Schema.string),
          ("description", Schema.string),
        ],
        may: [
          ("username", Schema.string),
          ("file", ["type": "string", "contentMediaType": "application/octet-stream"]),
        ]), isNeeded: true, mediaType: "multipart/form-data"),
    answers: [.json(Schema.object(("ok", ["const": true]), ("ticket_number", Schema.string)))],
    refusals: [
      .bodyInvalid(.nonce), .nonceRefused, .helpDeskOff, .ticketFailed, .formExpected,
      .originRefused,
    ])

  static let interest = RouteDescription(
    summary: "Wish for a service that is coming",
    body: .json(Schema.object(("service", Schema.string))), answers: [.json(ok)],
    refusals: [.bodyInvalid(.service), .originRefused])

  static let violationReport = RouteDescription(
    summary: "Reports of browsers about content security policies",
    // Browsers say application/csp-report or application/reports+json; the route does not ask.
    body: .json(["type": ["object", "array"]], isNeeded: false),
    answers: [Answer(status: 204, meaning: "Taken", schema: nil, mediaType: "")],
    refusals: [.tooManyAttempts(retryAfterSeconds: 1)])
}
