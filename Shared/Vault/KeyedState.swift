// HMAC-SHA256 after the block of its key, inside and outside. Whoever uses a key for many messages
// works this out once: two of the four compressions that a short message takes. HashContext keeps
// one for its secret keys and wipes it after each use; a salt, which is no secret, may keep its own.

import Bytes
import COpenSSL

/// Where HMAC-SHA256 stands after its key; not Sendable.
public final class KeyedState {
  private let states = UnsafeMutablePointer<SHA256_CTX>.allocate(capacity: 2)
  /// The state in which a message begins.
  var inner: UnsafePointer<SHA256_CTX> { UnsafePointer(states) }
  /// The state in which the digest of the message is hashed again.
  var outer: UnsafePointer<SHA256_CTX> { UnsafePointer(states + 1) }

  /// The state after no key.
  init() { states.initialize(repeating: SHA256_CTX(), count: 2) }

  /// The state after `salt`.
  public convenience init(_ salt: UnsafeRawBufferPointer) {
    self.init()
    set(salt)
  }

  deinit {
    forget()
    states.deallocate()
  }

  /// Takes another key (RFC 2104: hashed when it is longer than a block). These calls of OpenSSL
  /// can not fail: they compute over memory that is there.
  func set(_ key: UnsafeRawBufferPointer) {
    withUnsafeTemporaryAllocation(byteCount: 64, alignment: 16) { block in
      defer { wipe(block) }
      wipe(block)
      if key.count > 64 {
        SHA256_Init(states)
        SHA256_Update(states, key.baseAddress, key.count)
        SHA256_Final(block.bindMemory(to: UInt8.self).baseAddress, states)
      } else if key.count > 0 {
        block.copyMemory(from: key)
      }
      let pad: UInt64 = 0x3636_3636_3636_3636
      Self.mix(pad, into: block)
      SHA256_Init(states)
      SHA256_Update(states, block.baseAddress, 64)
      Self.mix(pad ^ 0x5c5c_5c5c_5c5c_5c5c, into: block)
      SHA256_Init(states + 1)
      SHA256_Update(states + 1, block.baseAddress, 64)
    }
  }

  /// Overwrites what is known of the key.
  func forget() {
    wipe(
      UnsafeMutableRawBufferPointer(
        start: states, count: 2 * MemoryLayout<SHA256_CTX>.stride))
  }

  private static func mix(_ pad: UInt64, into block: UnsafeMutableRawBufferPointer) {
    let words = block.bindMemory(to: UInt64.self)
    for index in 0..<8 { words[index] ^= pad }
  }
}
