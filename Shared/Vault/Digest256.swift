// A SHA-256 value: what is stored of a secret's first half, of a file, of a key's text. A plain
// value with cheap equality; not for comparing secrets, those are compared in constant time.

import Bytes
import COpenSSL

/// 32 bytes of SHA-256 or HMAC-SHA256.
public struct Digest256: Hashable, Sendable {
  private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

  init(filledBy fill: (UnsafeMutableRawBufferPointer) -> Void) {
    withUnsafeMutableBytes(of: &words) { fill($0) }
  }

  /// The digest with these 32 bytes, or nil for another number of bytes.
  public init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count == 32 else { return nil }
    withUnsafeMutableBytes(of: &words) { $0.copyMemory(from: bytes) }
  }

  /// The digest with these 32 bytes, or nil for another number of bytes.
  public init?(_ bytes: [UInt8]) {
    guard let digest = bytes.withUnsafeBytes({ Digest256($0) }) else { return nil }
    self = digest
  }

  /// SHA-256 of `bytes`; HashContext is cheaper on a hot path.
  public init(of bytes: UnsafeRawBufferPointer) {
    self.init { digest in
      _ = SHA256(
        bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count,
        digest.bindMemory(to: UInt8.self).baseAddress)
    }
  }

  /// SHA-256 of `bytes`.
  public init(of bytes: [UInt8]) { self = bytes.withUnsafeBytes { Digest256(of: $0) } }

  /// Lends the 32 bytes.
  public func withBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // Borrowed, not a copied variable: with one, the optimizer of Swift 6.3.1 lost the loads that an
    // inlined `body` made, and gave back what had been in memory before.
    try withUnsafeBytes(of: words, body)
  }

  /// The first 8 bytes as a big-endian number.
  var firstWord: UInt64 { UInt64(bigEndian: words.0) }

  /// The 32 bytes.
  public var bytes: [UInt8] { withBytes { [UInt8]($0) } }

  /// 64 lower-case hexadecimal digits.
  public var hex: String { withBytes { Hex.encode($0) } }

  /// Whether both are the same 32 bytes.
  public static func == (left: Digest256, right: Digest256) -> Bool { left.words == right.words }

  /// Feeds the first word, which is as random as the whole.
  public func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}
