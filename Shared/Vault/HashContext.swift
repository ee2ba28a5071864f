// SHA-256, HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869) over memory that is reused. Its owner
// is one thread or loop. HMAC is built here over OpenSSL's plain SHA-256 calls: on the request path,
// where a credential costs six HMACs, that takes a third of the time of OpenSSL's MAC objects, whose
// every use allocates and copies. The published vectors hold it to the standards.

import Bytes
import COpenSSL

/// Reusable state for hashing; not Sendable.
public final class HashContext {
  private let work = UnsafeMutablePointer<SHA256_CTX>.allocate(capacity: 1)
  /// The state after a secret key.
  private let keyed = KeyedState()
  /// Two digests of 32 bytes. All of this is secret, and wiped after each use.
  private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 16)

  /// A fresh context.
  public init() { work.initialize(to: SHA256_CTX()) }

  deinit {
    wipeAll()
    work.deallocate()
    scratch.deallocate()
  }

  /// SHA-256 of `bytes`.
  public func sha256(_ bytes: UnsafeRawBufferPointer) -> Digest256 {
    Digest256 { digest in
      SHA256_Init(work)
      add(bytes)
      end(digest)
    }
  }

  /// HMAC-SHA256 of `message` under `key`.
  public func hmac(
    key: UnsafeRawBufferPointer, message: UnsafeRawBufferPointer
  ) -> Digest256 {
    Digest256 { digest in
      keyed.set(key)
      begin(keyed)
      add(message)
      end(digest, keyed)
      wipeAll()
    }
  }

  /// Fills `output` with HKDF-SHA256 of `key`, `salt` and `info`; at most 8,160 bytes.
  public func hkdf(
    key: UnsafeRawBufferPointer, salt: UnsafeRawBufferPointer, info: UnsafeRawBufferPointer,
    into output: UnsafeMutableRawBufferPointer
  ) {
    keyed.set(salt)
    hkdf(key: key, salt: keyed, info: info, into: output)
  }

  /// The same with a salt that was prepared.
  public func hkdf(
    key: UnsafeRawBufferPointer, salt: KeyedState, info: UnsafeRawBufferPointer,
    into output: UnsafeMutableRawBufferPointer
  ) {
    precondition(output.count <= 255 * 32, "HKDF gives at most 255 blocks")
    begin(salt)
    add(key)
    end(second, salt)
    keyed.set(UnsafeRawBufferPointer(second))
    var filled = 0
    var counter: UInt8 = 1
    while filled < output.count {
      begin(keyed)
      if counter > 1 { add(UnsafeRawBufferPointer(second)) }
      add(info)
      withUnsafeBytes(of: counter) { add($0) }
      end(second, keyed)
      let count = min(32, output.count - filled)
      UnsafeMutableRawBufferPointer(rebasing: output[filled..<filled + count])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: second[..<count]))
      filled += count
      counter &+= 1
    }
    wipeAll()
  }

  private var first: UnsafeMutableRawBufferPointer { .init(rebasing: scratch[0..<32]) }
  private var second: UnsafeMutableRawBufferPointer { .init(rebasing: scratch[32..<64]) }

  /// Begins a message under a key.
  private func begin(_ key: KeyedState) { work.update(from: key.inner, count: 1) }

  /// Ends a message under a key.
  private func end(_ digest: UnsafeMutableRawBufferPointer, _ key: KeyedState) {
    end(first)
    work.update(from: key.outer, count: 1)
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
    keyed.forget()
    wipe(scratch)
    wipe(UnsafeMutableRawBufferPointer(start: work, count: MemoryLayout<SHA256_CTX>.stride))
  }
}
