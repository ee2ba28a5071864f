// Says where a sealed value belongs. All of it is authenticated, length-prefixed, so that a sealed
// value opens in its own row, field, owner and generation and nowhere else. The places that hold
// sealed values are listed here, and only here.

import Bytes

/// The place of one sealed value.
public struct SealContext: Sendable {
  /// The parts, each behind its length in 4 bytes, big-endian. Laid out once: a connection's values
  /// are opened with every request.
  let encoded: [UInt8]

  init(
    table: StaticString, field: StaticString, row: String, connection: String, owner: String,
    generation: UInt64
  ) {
    let buffer = Buffer(capacity: 256)
    for part in ["\(table)", row, connection, owner, "\(field)"] {
      buffer.append(bigEndian: UInt32(part.utf8.count))
      buffer.append(text: part)
    }
    withUnsafeBytes(of: generation.bigEndian) {
      buffer.append(bigEndian: UInt32($0.count))
      buffer.append($0)
    }
    encoded = [UInt8](buffer.readable)
  }

  /// The token blob of a connection, sealed under its data key.
  public static func tokenBlob(
    connection: String, owner: String, generation: UInt64
  ) -> SealContext {
    SealContext(
      table: "token_blobs", field: "sealed", row: connection, connection: connection,
      owner: owner, generation: generation)
  }

  /// The data key of a connection as a credential carries it, sealed under the credential's secret.
  public static func credentialWrap(
    credential: String, connection: String, owner: String
  ) -> SealContext {
    SealContext(
      table: "credentials", field: "wrap", row: credential, connection: connection, owner: owner,
      generation: 0)
  }

  /// The data key of a connection as an authorization code carries it.
  public static func codeWrap(grant: String, connection: String, owner: String) -> SealContext {
    SealContext(
      table: "oauth_grants", field: "code_wrap", row: grant, connection: connection, owner: owner,
      generation: 0)
  }

  /// The data key of a connection as a grant's refresh token carries it.
  public static func refreshWrap(grant: String, connection: String, owner: String) -> SealContext {
    SealContext(
      table: "oauth_grants", field: "refresh_wrap", row: grant, connection: connection,
      owner: owner, generation: 0)
  }

  /// The data key of a connection as an access token carries it.
  public static func accessTokenWrap(
    grant: String, connection: String, owner: String
  ) -> SealContext {
    SealContext(
      table: "oauth_access_tokens", field: "wrap", row: grant, connection: connection,
      owner: owner, generation: 0)
  }

  /// The data key of a managed connection, sealed under a master key.
  public static func managedWrap(connection: String, owner: String) -> SealContext {
    SealContext(
      table: "connections", field: "managed_wrap", row: connection, connection: connection,
      owner: owner, generation: 0)
  }

  /// What an authorization under way needs to be finished, sealed under its state.
  public static func pendingAuthorization(state: Digest256, owner: String) -> SealContext {
    SealContext(
      table: "pending_authorizations", field: "sealed", row: state.hex, connection: "",
      owner: owner, generation: 0)
  }

  /// A fresh credential that waits for its owner, sealed under the claim token.
  public static func claim(token: Digest256, connection: String, owner: String) -> SealContext {
    SealContext(
      table: "claims", field: "sealed", row: token.hex, connection: connection, owner: owner,
      generation: 0)
  }

  /// The secret of our client at an authorization server, sealed under a master key.
  public static func registrationSecret(issuer: String, redirectURI: String) -> SealContext {
    SealContext(
      table: "oauth_registrations", field: "secret", row: issuer, connection: redirectURI,
      owner: "", generation: 0)
  }
}

extension Buffer {
  func append(bigEndian value: UInt32) {
    withUnsafeBytes(of: value.bigEndian) { append($0) }
  }
}
