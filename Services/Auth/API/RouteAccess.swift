// Who may take which route. A space's key sees the routes of connections and nothing else: the rest is
// not there for it. What makes, shows or ends keys, and what ends a sign-in, takes a sign-in, so that
// nobody who finds a key can stay when it is revoked.

import Accounts

/// Who may take a route.
enum RouteAccess: Equatable {
  case everyone
  /// A person who signed in.
  case session
  /// Also a person's key.
  case person
  /// Also a space's key with these permissions, for the space's connections.
  case connections(SpacePermissions)
}

extension Route {
  /// Who may take it.
  var access: RouteAccess {
    switch self {
    case .forgotPassword, .resetPassword, .supportNonce, .supportTicket, .interest,
      .violationReport:
      .everyone
    case .exportAccount, .deleteAccount, .checkout, .verifyCheckout, .updateQuantity, .portal:
      .session
    case .register, .login, .clerkSession, .token, .services, .publicKeys, .clientDocument,
      .callback, .openAPI:
      .everyone
    case .logout, .listKeys, .addKey, .revokeKey, .revokeNamedKey, .listSpaceKeys, .addSpaceKey,
      .revokeSpaceKey, .revokeNamedSpaceKey:
      .session
    case .me, .authorize, .claim, .listSpaces, .addSpace, .readSpace, .changeSpace, .removeSpace:
      .person
    case .listConnections, .readConnection, .listCredentials, .activity: .connections(.read)
    case .connectWithAPIKey, .changeConnection, .changeMode, .revokeConnection, .revokeCredential:
      .connections(.write)
    // Whoever makes a credential can use it.
    case .addCredential: .connections([.use, .write])
    }
  }

  /// Whether its first parameter is a connection's id.
  var namesConnection: Bool { shape.pattern.utf8.starts(with: "/api/connections/{id}".utf8) }
}

/// Lets callers through to routes.
struct Admittance: Sendable {
  let spaces: any SpaceStore

  /// - Throws: `sessionNeeded`, `permissionMissing`; `routeUnknown` and `notFound` for what is not
  ///   there for a space's key.
  func admit(
    _ caller: Caller, to route: Route, _ parameters: [String]
  ) async throws(Refusal) {
    switch (caller.proof, route.access) {
    case (.session, _), (.clerk, _), (_, .everyone), (.userKey, .person), (.userKey, .connections):
      break
    case (.userKey, .session): throw .sessionNeeded
    case (.space, .session), (.space, .person): throw .routeUnknown
    case (.space(let space, let permissions), .connections(let needed)):
      if route.namesConnection {
        guard let id = ConnectionID(parameters[0]), try await holds(space, id) else {
          throw .notFound
        }
      }
      guard permissions.isSuperset(of: needed) else { throw .permissionMissing }
    }
  }

  private func holds(_ space: SpaceID, _ id: ConnectionID) async throws(Refusal) -> Bool {
    do throws(AccountError) { return try await spaces.space(space, holds: id) } catch {
      throw Refusal(error)
    }
  }
}
