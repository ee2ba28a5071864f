// Judges a credential that somebody shows to prove that they hold one of this connection: it must be
// of this connection, live, and open its data key.

import Accounts
import Clocks

/// Proofs by credentials.
struct CredentialProof: Sendable {
  let connections: any ConnectionStore
  let keys: KeyAgent

  /// What the shown credential opens.
  /// - Throws: `credentialRefused`; `notFound` for a connection that is not the person's.
  func source(
    _ text: String, of id: ConnectionID, user: UserID, now: UnixTime
  ) async throws(Refusal) -> KeyAgent.Source {
    guard let presented = keys.present(text) else { throw .credentialRefused }
    let found: (id: CredentialID, wrap: [UInt8])?
    do throws(AccountError) {
      found = try await connections.credentialWrap(
        lookup: presented.lookup, of: id, user: user, now: now)
    } catch { throw Refusal(error) }
    guard let found else { throw .credentialRefused }
    let source = KeyAgent.Source.credential(id: found.id, wrap: found.wrap, secret: presented)
    // Its first half may be copied from elsewhere; only what opens is a credential.
    _ = try keys.revealDataKey(source, connection: id, owner: user)
    return source
  }
}
