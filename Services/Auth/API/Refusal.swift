// Every way in which the API says no, and what the outside sees of it. A new reason does not
// compile until it has its answer. Reasons that must not be told apart share one.

import Accounts
import OAuth

/// Why a request was not done.
enum Refusal: Error, Equatable {
  case bodyMalformed
  case bodyInvalid(Field)
  case bodyTooLarge
  // Said by the server before a route is looked for; here for the document's sake.
  case requestMalformed, uriTooLong, headTooLarge, tooMuchAsked, originForbidden, misdirected
  case mediaTypeUnsupported
  /// No credential, or one that is not believed.
  case unauthenticated
  /// A route for programs, asked without a Bearer token.
  case bearerNeeded
  /// A person's key at a route that takes a sign-in.
  case sessionNeeded
  /// A space's key without the permission for it.
  case permissionMissing
  /// An e-mail address and a password that do not go together, whichever is wrong.
  case signInRefused
  /// A refresh token that is not believed, for whatever reason.
  case refreshRefused
  /// The link to a new password is not ours, too old, or used.
  case resetRefused
  case originRefused
  case notFound
  /// A claim of somebody else's.
  case notOwner
  case routeUnknown
  case methodUnknown(allowed: String)
  case localAccountsOff
  case emailTaken
  case usersMaxReached
  case tooMany
  /// The plan allows no connection more.
  case planForbids(PlanRefusal)
  case tooManyAttempts(retryAfterSeconds: Int64)
  /// The pool of password hashing, the database or the run directory is too busy now.
  case overloaded
  case serviceUnknown
  case authNotSupported
  case managedModeOff
  /// The service did not accept the API key.
  case apiKeyRefused
  /// The service could not be asked, or did not answer like an MCP server.
  case serviceUnreachable
  /// The service is not connected by OAuth.
  case oauthNotSupported
  /// The operator has not set our client at this service.
  case clientNotConfigured
  /// The way to the service's authorization server ended.
  case discoveryFailed(DiscoveryProblem)
  /// The service's authorization server did not register us.
  case registrationFailed
  /// No claim token was given.
  case claimAbsent
  /// The shown credential does not open this connection.
  case credentialRefused
  /// A form with files was expected.
  case formExpected
  /// The nonce is not ours, too old, or used.
  case nonceRefused
  /// The operator has set up no help desk.
  case helpDeskOff
  /// The help desk did not take the ticket.
  case ticketFailed
  /// There are no plans here.
  case billingOff
  /// Billing, or Stripe behind it, does not answer now.
  case billingUnreachable(retryAfterSeconds: Int64)
  case quantityInvalid
  /// Fewer than the connections in use.
  case quantityTooLow
  case noSubscription
  /// No checkout of this name.
  case sessionInvalid
  case sessionNotPaid
  /// A checkout of somebody else's.
  case sessionNotYours
  /// Not every row of an account could be deleted.
  case deletionFailed
  case failed

  /// What a field of a body was expected to be.
  enum Field: Equatable {
    case email, password, apiKey, label, networks, keyStorageMode, name, tools, expiresIn
    case credential, nothingToChange, refreshToken, returnTo
    case permissions, connections, nothingToChangeInSpace
    case nonce, username, topic, description, file, service
  }

  /// The status, the code and the sentence that the outside sees.
  var wire: (status: Int, code: String, message: String) {
    switch self {
    case .bodyMalformed: (400, "invalid_request", "The body is not the JSON that was expected")
    case .bodyInvalid(let field): (400, "invalid_request", field.message)
    case .bodyTooLarge: (413, "payload_too_large", "The request body is too large")
    case .requestMalformed: (400, "bad_request", "The request is malformed")
    case .uriTooLong: (414, "uri_too_long", "The request line is too long")
    case .headTooLarge: (431, "headers_too_large", "The request head is too large")
    case .originForbidden: (403, "forbidden_origin", "The Origin is not allowed")
    case .misdirected: (421, "misdirected_request", "The Host is not served here")
    case .tooMuchAsked: (429, "rate_limited", "Too many requests")
    case .mediaTypeUnsupported:
      (415, "unsupported_media_type", "The body must be application/json")
    case .unauthenticated: (401, "unauthorized", "Sign in first")
    case .bearerNeeded:
      (
        401, "MCP routes require Bearer token",
        "Send a user key or an access token as Authorization: Bearer; cookies say nothing here"
      )
    case .sessionNeeded: (403, "forbidden", "A key may not do this: sign in")
    case .permissionMissing: (403, "forbidden", "This key does not have the permission for it")
    case .signInRefused: (401, "invalid_credentials", "The e-mail address or password is wrong")
    case .refreshRefused: (401, "invalid_grant", "Sign in again")
    case .resetRefused:
      (400, "invalid_token", "This link does not work any more; ask for a new one")
    case .originRefused: (403, "forbidden", "This origin may not do that")
    case .notFound: (404, "not_found", "There is no such thing")
    case .notOwner: (403, "forbidden", "Somebody else connected this")
    case .routeUnknown: (404, "not_found", "Unknown API route")
    case .methodUnknown: (405, "method_not_allowed", "This method is not supported here")
    case .localAccountsOff: (403, "forbidden", "Accounts with a password are switched off")
    case .emailTaken: (409, "email_taken", "Somebody signs in with this e-mail address already")
    case .usersMaxReached: (403, "max_users_reached", "No further accounts are admitted")
    case .tooMany: (409, "limit_reached", "There are as many of these as there may be")
    case .planForbids(let reason): (403, "forbidden", reason.advice)
    case .tooManyAttempts: (429, "rate_limited", "Too many requests")
    case .overloaded: (503, "service_unavailable", "Try again in a moment")
    case .serviceUnknown: (404, "not_found", "There is no such service")
    case .authNotSupported:
      (400, "not_supported", "This service is not connected with an API key")
    case .managedModeOff: (400, "not_supported", "Managed key storage is switched off")
    case .apiKeyRefused: (400, "invalid_api_key", "The service did not accept this API key")
    case .serviceUnreachable:
      (502, "service_unreachable", "The service could not be reached to check the API key")
    case .oauthNotSupported: (400, "not_supported", "This service is not connected by OAuth")
    case .clientNotConfigured:
      (500, "config_error", "The operator has not set up this service yet")
    case .discoveryFailed(let problem):
      (
        502, "discovery_failed",
        "The service did not say soundly how it is connected: \(problem.rule)"
      )
    case .registrationFailed:
      (502, "dcr_failed", "The service did not register this installation as its client")
    case .claimAbsent: (400, "invalid_request", "token: a claim token is needed")
    case .credentialRefused:
      (403, "invalid_credential", "A working credential of this connection is needed")
    case .formExpected:
      (415, "unsupported_media_type", "The body must be multipart/form-data")
    case .nonceRefused: (403, "invalid_nonce", "Reload the form and send it again")
    case .helpDeskOff: (503, "service_unavailable", "There is no help desk here")
    case .ticketFailed:
      (500, "ticket_creation_failed", "The help desk did not take the message")
    case .billingOff: (503, "billing_disabled", "Billing is switched off here")
    case .billingUnreachable:
      (503, "service_unavailable", "Billing does not answer just now: try again shortly")
    case .quantityInvalid:
      (400, "invalid_quantity", "quantity: a whole number of connections from 1 to 10000 is needed")
    case .quantityTooLow:
      (400, "quantity_too_low", "More connections are in use: disconnect some first")
    case .noSubscription:
      (400, "no_subscription", "There is no subscription yet: begin with a checkout")
    case .sessionInvalid: (400, "invalid_session", "There is no such checkout")
    case .sessionNotPaid: (400, "not_paid", "This checkout is not paid yet")
    case .sessionNotYours: (403, "unauthorized", "This checkout is somebody else's")
    case .deletionFailed:
      (500, "partial_failure", "The account is not deleted yet; try again")
    case .failed: (500, "internal_error", "Internal server error")
    }
  }

  /// Seconds after which the same request may be worth a try.
  var retryAfterSeconds: Int64? {
    switch self {
    case .tooManyAttempts(let seconds), .billingUnreachable(let seconds): seconds
    case .overloaded: 1
    default: nil
    }
  }

  /// The refusal for what a store threw.
  init(_ error: AccountError) {
    switch error {
    case .notFound: self = .notFound
    case .notOwner: self = .notOwner
    case .emailTaken: self = .emailTaken
    case .usersMaxReached: self = .usersMaxReached
    case .tooMany: self = .tooMany
    case .planForbids(let reason): self = .planForbids(reason)
    case .masterKeyGone: self = .overloaded
    case .recordMalformed: self = .failed
    case .database(let error): self = error.isTransient ? .overloaded : .failed
    }
  }
}

extension PlanRefusal {
  /// What to do next.
  var advice: String {
    switch self {
    case .limitReached:
      "Your plan allows no further connection: disconnect one, or pay for more in the dashboard"
    case .trialEnded: "Your trial has ended: subscribe in the dashboard"
    case .pastDue: "Your payment is past due: pay the open invoice in the dashboard"
    case .canceled: "Your subscription has ended: subscribe again in the dashboard"
    }
  }
}

extension Refusal.Field {
  fileprivate var message: String {
    switch self {
    case .email: "email: an e-mail address is needed"
    case .password: "password: 12 to 1024 characters are needed"
    case .apiKey: "api_key: 1 to 4096 visible ASCII characters are needed"
    case .label: "label: 1 to 100 characters are needed"
    case .networks:
      "networks: null, or 1 to 64 CIDRs or named ranges, each without host bits, are needed"
    case .keyStorageMode: "key_storage_mode: zero_knowledge or managed is needed"
    case .name: "name: 1 to 100 characters are needed"
    case .tools: "tools: null, or 1 to 128 tool names, are needed"
    case .expiresIn: "expires_in: 1 to 31536000 seconds are needed"
    case .credential: "credential: a secret URL or API key of this connection is needed"
    case .nothingToChange: "label or networks is needed"
    case .refreshToken: "refresh_token is needed"
    case .permissions:
      "permissions: a list of connections:read, connections:use, connections:write is needed"
    case .connections: "connections: at most 1000 ids of connections are possible"
    case .nothingToChangeInSpace: "name or connections is needed"
    case .nonce: "nonce: a nonce of this form is needed"
    case .username: "username: at most 100 characters"
    case .topic: "topic: 1 to 100 characters are needed"
    case .description: "description: 1 to 10000 characters are needed"
    case .file: "file: one file of at most 10 MB"
    case .service: "service: one that is coming is needed"
    case .returnTo: "return_to: a page of the dashboard is needed"
    }
  }
}
