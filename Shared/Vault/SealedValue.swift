// The layout of sealed format v1, read and written by SealEngine alone:
//
//   version 1 · mode 1 · key fingerprint 8 · salt 32 · ciphertext · tag 16
//
// The plaintext is its length in 4 bytes, big-endian, itself, and zeroes up to a multiple of 256,
// so that the length of a sealed value tells little about which provider issued it.

/// The numbers of sealed format v1.
enum SealedValue {
  static let version: UInt8 = 1
  static let headerBytes = 1 + 1 + 8 + 32
  static let fingerprintRange = 2..<10
  static let saltRange = 10..<42
  static let lengthBytes = 4
  static let stepBytes = 256
  static let tagBytes = 16
  static let plaintextBytesMax = 64 * 1024

  /// Which key opens a value.
  enum Mode: UInt8 {
    /// A data key under the second half of a credential; nothing that we store opens it.
    case clientHeld = 1
    /// A data key under a master key, which the fingerprint names.
    case managed = 2
    /// A token blob under the data key of its connection.
    case dataKey = 3
    /// Anything small under a ticket: 32 bytes that somebody carries and that we do not keep.
    case ticket = 4

    /// What the derived key is for; another purpose gives another key.
    var purpose: StaticString {
      switch self {
      case .clientHeld, .managed: "bindery wrap v1"
      case .dataKey: "bindery blob v1"
      case .ticket: "bindery ticket v1"
      }
    }
  }

  /// The length of the padded plaintext that holds `count` bytes.
  static func paddedBytes(_ count: Int) -> Int {
    (lengthBytes + count + stepBytes - 1) / stepBytes * stepBytes
  }

  /// Whether a sealed value can have this length.
  static func isPossible(_ count: Int) -> Bool {
    let padded = count - headerBytes - tagBytes
    return padded >= stepBytes && padded % stepBytes == 0
      && padded <= paddedBytes(plaintextBytesMax)
  }
}
