// Descriptions of the routes of signing in, of what is public, and of the document itself.
// What any route may answer stands in RouteRefusals.

extension RouteDescription {
  private static let credentials = Schema.body(
    needed: [
      ("email", ["type": "string", "maxLength": 254]),
      ("password", ["type": "string", "minLength": 12, "maxLength": 1024]),
    ], may: [])
  private static let signedIn = Answer.json(Schema.named("SignedIn"), "Signed in; sets the cookie")

  static let register = RouteDescription(
    summary: "Make an account and sign in", body: .json(credentials),
    answers: [.json(Schema.named("SignedIn"), status: 201, "Signed in; sets the cookie")],
    refusals: [
      .bodyInvalid(.email), .originRefused, .localAccountsOff, .usersMaxReached, .emailTaken,
      .tooManyAttempts(retryAfterSeconds: 1),
    ])

  static let login = RouteDescription(
    summary: "Sign in", body: .json(credentials), answers: [signedIn],
    refusals: [
      .signInRefused, .originRefused, .localAccountsOff, .tooManyAttempts(retryAfterSeconds: 1),
    ])

  static let token = RouteDescription(
    summary: "Renew an access token",
    body: .json(Schema.object(("refresh_token", Schema.string))),
    answers: [.json(Schema.named("SignedIn"), "The next tokens")],
    refusals: [.refreshRefused, .originRefused, .localAccountsOff])

  static let clerkSession = RouteDescription(
    summary: "Sign this browser in for an hour by a session token of Clerk",
    answers: [
      .json(
        Schema.object(
          (
            "user",
            Schema.object(("id", Schema.string), ("email", Schema.string))
          ), ("expires_in", Schema.integer)), "Signed in; sets the cookie")
    ],
    refusals: [.unauthenticated, .sessionNeeded, .originRefused, .usersMaxReached])

  static let logout = RouteDescription(
    summary: "Sign out", answers: [.json(Schema.done, "Signed out; takes the cookie away")])

  static let me = RouteDescription(
    summary: "Who am I, and what does my plan allow", answers: [.json(Schema.named("Me"))])

  static let services = RouteDescription(
    summary: "The services that can be connected",
    answers: [.json(Schema.list(Schema.named("Service")))])

  static let publicKeys = RouteDescription(
    summary: "The keys that our tokens are signed with",
    answers: [
      Answer(
        status: 200, meaning: "A JSON Web Key Set",
        schema: Schema.object(("keys", Schema.list(["type": "object"]))),
        mediaType: "application/jwk-set+json")
    ])

  static let clientDocument = RouteDescription(
    summary: "This installation as an OAuth client",
    answers: [.json(["type": "object"], "A client metadata document")])

  static let openAPI = RouteDescription(
    summary: "This document",
    answers: [.json(["type": "object"], "An OpenAPI 3.1 document")])
}
