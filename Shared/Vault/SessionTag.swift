// Binds an upstream's session id to the connection it was given to: the tag that a client shows
// beside the id is a MAC under a key that only this connection's data key gives. Nothing is stored,
// and the tag of one connection is worth nothing on another.

import Bytes

/// The tag of one session id on one connection.
public struct SessionTag: Sendable {
  /// Characters of the text.
  public static let textBytes = 22
  private static let purpose: StaticString = "bindery session tag v1"
  private let bytes: [UInt8]

  /// The tag as 22 base64url characters.
  public var text: String { Base64URL.encode(bytes) }

  /// Whether `text` is this tag, in a time that does not depend on where it differs.
  public func matches(_ text: UnsafeRawBufferPointer) -> Bool {
    guard text.count == Self.textBytes, let shown = Base64URL.decode(text) else { return false }
    return constantTimeEqual(shown, bytes)
  }

  init(of session: UnsafeRawBufferPointer, under key: borrowing DataKey, engine: SealEngine) {
    bytes = withUnsafeTemporaryAllocation(byteCount: 32, alignment: 16) { derived in
      defer { wipe(derived) }
      key.secret.withBytes {
        engine.derive(
          key: $0, salt: UnsafeRawBufferPointer(start: nil, count: 0), purpose: Self.purpose,
          into: derived)
      }
      let mac = engine.hashing.hmac(key: UnsafeRawBufferPointer(derived), message: session)
      return mac.withBytes { [UInt8]($0[..<16]) }
    }
  }
}

extension SealEngine {
  /// The tag that binds the upstream's `session` id to the connection with this data key.
  public func sessionTag(
    of session: UnsafeRawBufferPointer, under key: borrowing DataKey
  ) -> SessionTag {
    SessionTag(of: session, under: key, engine: self)
  }
}
