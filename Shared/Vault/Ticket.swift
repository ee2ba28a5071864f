// 32 random bytes that somebody else carries for a short while: the state of an authorization, the
// cookie that binds it to a browser, the token of a claim. A hash of them finds the row, and what the
// row seals opens with the bytes themselves: the database alone opens nothing.

import Bytes
import Clocks

/// 32 random bytes as 43 base64url characters; wiped on release.
public final class Ticket: Sendable {
  /// What a ticket is for. Another purpose gives another hash, so none can stand for another.
  public enum Purpose: Sendable {
    case state, browser, claim

    fileprivate var label: StaticString {
      switch self {
      case .state: "bindery authorization state\0"
      case .browser: "bindery connect cookie\0"
      case .claim: "bindery claim\0"
      }
    }
  }

  /// Characters of the text.
  public static let textBytes = 43

  fileprivate let secret: Secret

  /// A fresh ticket.
  public init() { secret = Secret(count: 32) { Randomness.fill($0) } }

  /// The ticket that `text` spells exactly, or nil.
  public init?(_ text: String) {
    guard text.utf8.count == Self.textBytes else { return nil }
    var text = text
    var isSound = false
    secret = Secret(count: 32) { target in
      text.withUTF8 { isSound = Base64URL.decode(UnsafeRawBufferPointer($0), into: target) }
    }
    guard isSound else { return nil }
  }

  /// The 43 characters.
  public func makeText() -> String { secret.withBytes { Base64URL.encode($0) } }

  /// What is stored of it: SHA-256 of a label and the bytes.
  public func hash(for purpose: Purpose) -> Digest256 {
    secret.withBytes { bytes in
      let label = purpose.label
      let count = label.utf8CodeUnitCount
      return withUnsafeTemporaryAllocation(byteCount: count + bytes.count, alignment: 16) { all in
        defer { wipe(all) }
        all.copyMemory(from: UnsafeRawBufferPointer(start: label.utf8Start, count: count))
        UnsafeMutableRawBufferPointer(rebasing: all[count...]).copyMemory(from: bytes)
        return Digest256(of: UnsafeRawBufferPointer(all))
      }
    }
  }
}

extension SealEngine {
  /// `plaintext` under a ticket.
  public func seal(
    _ plaintext: UnsafeRawBufferPointer, under ticket: Ticket, context: SealContext
  ) -> [UInt8] {
    ticket.secret.withBytes {
      seal(plaintext, mode: .ticket, fingerprint: .zero, key: $0, context: context)
    }
  }

  /// What a ticket opens.
  /// - Throws: `SealError.refused`, whatever is wrong.
  public func open(
    _ sealed: [UInt8], under ticket: Ticket, context: SealContext
  ) throws(SealError) -> Secret {
    try ticket.secret.withBytes { key throws(SealError) in
      try open(sealed, mode: .ticket, fingerprint: .zero, key: key, context: context)
    }
  }

  /// `plaintext` under the active master key of `ring`.
  public func seal(
    _ plaintext: UnsafeRawBufferPointer, under ring: KeyRing, context: SealContext
  ) -> [UInt8] {
    let master = ring.active
    return master.secret.withBytes {
      seal(
        plaintext, mode: .managed, fingerprint: master.fingerprint, key: $0, context: context)
    }
  }

  /// What the one master key opens that the value names.
  /// - Throws: `SealError.refused`, also when the ring does not have that key.
  public func open(
    _ sealed: [UInt8], under ring: KeyRing, context: SealContext
  ) throws(SealError) -> Secret {
    let fingerprint = sealed.withUnsafeBytes { KeyFingerprint(ofSealed: $0) }
    guard let fingerprint, let master = ring[fingerprint] else { throw .refused }
    return try master.secret.withBytes { key throws(SealError) in
      try open(sealed, mode: .managed, fingerprint: fingerprint, key: key, context: context)
    }
  }

  private func open(
    _ sealed: [UInt8], mode: SealedValue.Mode, fingerprint: KeyFingerprint,
    key: UnsafeRawBufferPointer, context: SealContext
  ) throws(SealError) -> Secret {
    var secret: Secret?
    try open(
      PlacedValue(sealed, at: context), mode: mode, fingerprint: fingerprint, key: key
    ) { plain throws(SealError) in secret = Secret(copying: plain) }
    guard let secret = secret.take() else { throw .refused }
    return secret
  }
}
