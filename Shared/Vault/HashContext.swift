// SHA-256, HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869) over memory that is reused. Its owner
// is one thread or loop. HMAC is built here over OpenSSL's plain SHA-256 calls: on the request path,
// where a credential costs six HMACs, that takes a third of the time of OpenSSL's MAC objects, whose
// every use allocates and copies. The published vectors hold it to the standards.

import Bytes
import COpenSSL

/// Reusable state for hashing; not Sendable.
package final class HashContext {
  /// States after the key's inner and outer block, and one to work in.
  private let inner = UnsafeMutablePointer<SHA256_CTX>.allocate(capacity: 3)
  private var outer: UnsafeMutablePointer<SHA256_CTX> { inner + 1 }
  private var work: UnsafeMutablePointer<SHA256_CTX> { inner + 2 }
  /// A key block of 64 bytes, then two digests of 32; all of it secret, wiped after each use.
  private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 128, alignment: 16)

  /// A fresh context.
  package init() { inner.initialize(repeating: SHA256_CTX(), count: 3) }

  deinit {
    wipeAll()
    inner.deallocate()
    scratch.deallocate()
  }

  /// SHA-256 of `bytes`.
  package func sha256(_ bytes: UnsafeRawBufferPointer) -> Digest256 {
    Digest256 { digest in
      SHA256_Init(work)
      add(bytes)
      end(digest)
    }
  }

  /// HMAC-SHA256 of `message` under `key`.
  package func hmac(
    key: UnsafeRawBufferPointer, message: UnsafeRawBufferPointer
  ) -> Digest256 {
    Digest256 { digest in
      setKey(key)
      begin()
      add(message)
      endKeyed(digest)
      wipeAll()
    }
  }

  /// Fills `output` with HKDF-SHA256 of `key`, `salt` and `info`; at most 8,160 bytes.
  package func hkdf(
    key: UnsafeRawBufferPointer, salt: UnsafeRawBufferPointer, info: UnsafeRawBufferPointer,
    into output: UnsafeMutableRawBufferPointer
  ) {
    precondition(output.count <= 255 * 32, "HKDF gives at most 255 blocks")
    setKey(salt)
    begin()
    add(key)
    endKeyed(second)
    setKey(UnsafeRawBufferPointer(second))
    var filled = 0
    var counter: UInt8 = 1
    while filled < output.count {
      begin()
      if counter > 1 { add(UnsafeRawBufferPointer(second)) }
      add(info)
      withUnsafeBytes(of: counter) { add($0) }
      endKeyed(second)
      let count = min(32, output.count - filled)
      UnsafeMutableRawBufferPointer(rebasing: output[filled..<filled + count])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: second[..<count]))
      filled += count
      counter &+= 1
    }
    wipeAll()
  }

  private var block: UnsafeMutableRawBufferPointer { .init(rebasing: scratch[0..<64]) }
  private var first: UnsafeMutableRawBufferPointer { .init(rebasing: scratch[64..<96]) }
  private var second: UnsafeMutableRawBufferPointer { .init(rebasing: scratch[96..<128]) }

  /// Leaves `inner` and `outer` as they are after their block of the key (hashed when longer).
  private func setKey(_ key: UnsafeRawBufferPointer) {
    wipe(block)
    if key.count > 64 {
      SHA256_Init(work)
      add(key)
      end(.init(rebasing: block[..<32]))
    } else if key.count > 0 {
      block.copyMemory(from: key)
    }
    let pad: UInt64 = 0x3636_3636_3636_3636
    mix(pad)
    SHA256_Init(inner)
    SHA256_Update(inner, block.baseAddress, 64)
    mix(pad ^ 0x5c5c_5c5c_5c5c_5c5c)
    SHA256_Init(outer)
    SHA256_Update(outer, block.baseAddress, 64)
  }

  private func mix(_ pad: UInt64) {
    let words = block.bindMemory(to: UInt64.self)
    for index in 0..<8 { words[index] ^= pad }
  }

  /// Begins a message under the key that was set.
  private func begin() { work.pointee = inner.pointee }

  private func endKeyed(_ digest: UnsafeMutableRawBufferPointer) {
    end(first)
    work.pointee = outer.pointee
    add(UnsafeRawBufferPointer(first))
    end(digest)
  }

  // These calls cannot fail: they compute over memory that is there.
  private func add(_ bytes: UnsafeRawBufferPointer) {
    SHA256_Update(work, bytes.baseAddress, bytes.count)
  }

  private func end(_ digest: UnsafeMutableRawBufferPointer) {
    SHA256_Final(digest.bindMemory(to: UInt8.self).baseAddress, work)
  }

  private func wipeAll() {
    wipe(scratch)
    let bytes = 3 * MemoryLayout<SHA256_CTX>.stride
    wipe(UnsafeMutableRawBufferPointer(start: inner, count: bytes))
  }
}
