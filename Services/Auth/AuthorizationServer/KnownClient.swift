// Who may send people to us: the one client that everybody may be, clients that registered, and
// clients that are known by a document at their own URL.

import Accounts
import Clocks
import OAuth

/// A client that exists.
struct KnownClient: Sendable {
  /// How it came to be known.
  enum Origin: Equatable {
    /// `bindery-mcp`: public, any loopback redirect.
    case fixed
    case registered
    /// By its document; the host that serves it.
    case document(host: String)
  }

  static let fixedID = "bindery-mcp"

  let id: String
  /// Its own words, fit to be shown.
  let name: String
  let origin: Origin
  let redirectURIs: [RedirectURI]

  static let fixed = KnownClient(
    id: fixedID, name: "A program on this computer", origin: .fixed, redirectURIs: [])

  /// Whether people may be sent to `redirect` for it.
  func admits(_ redirect: RedirectURI) -> Bool {
    switch origin {
    case .fixed: redirect.isLoopback && redirect.url.scheme == .http
    case .registered, .document: redirectURIs.contains { redirect.matches($0) }
    }
  }

  /// A stranger's name as it is shown: without what does not show, and never nothing.
  static func shownName(_ name: String?) -> String {
    name.flatMap { PlainText.admit($0) } ?? "A program without a name"
  }
}

/// Finds clients.
struct ClientRegistry: Sendable {
  let store: any OAuthClientStore
  let documents: ClientDocuments

  /// The client with this id; nil when there is none.
  /// - Throws: `overloaded`, `tooManyAttempts`, `failed`.
  func find(
    _ id: String, for client: ClientNetwork, now: UnixTime
  ) async throws(Refusal) -> KnownClient? {
    if id.utf8.elementsEqual(KnownClient.fixedID.utf8) { return .fixed }
    if ClientDocuments.isURL(id) { return try await documents.find(id, for: client) }
    let found: StoredClient?
    do throws(AccountError) { found = try await store.client(id, now: now) } catch {
      throw Refusal(error)
    }
    guard let found else { return nil }
    let redirects = found.redirectURIs.compactMap { RedirectURI($0) }
    guard redirects.count == found.redirectURIs.count else { throw .failed }
    return KnownClient(
      id: found.id, name: KnownClient.shownName(found.name), origin: .registered,
      redirectURIs: redirects)
  }
}
