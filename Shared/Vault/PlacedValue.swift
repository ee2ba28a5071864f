// A sealed value in its place, with what opening it takes besides the key worked out ahead: what is
// authenticated, and the state of HMAC after its salt. For values that are opened with every request.
// Nothing of it is secret; whether it opens is still only the tag's to say.

import Bytes

/// One sealed value, ready to be opened many times; not Sendable.
public struct PlacedValue {
  let sealed: [UInt8]
  /// The header, then the place; no bytes when `sealed` is no possible value.
  let authenticated: [UInt8]
  let salt: KeyedState

  /// Any bytes that claim to be a sealed value at `context`; what is wrong with them, opening says.
  public init(_ sealed: [UInt8], at context: SealContext) {
    self.sealed = sealed
    guard SealedValue.isPossible(sealed.count) else {
      authenticated = []
      salt = KeyedState()
      return
    }
    authenticated = sealed[..<SealedValue.headerBytes] + context.encoded
    salt = sealed.withUnsafeBytes { KeyedState(.init(rebasing: $0[SealedValue.saltRange])) }
  }
}
