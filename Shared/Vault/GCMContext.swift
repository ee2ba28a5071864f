// AES-256-GCM with a 12-byte nonce and a 16-byte tag, the only shape that we support, over reused
// OpenSSL contexts. Its owner is one thread or loop. A wrong tag leaves no plaintext behind.

import Bytes
import COpenSSL

/// Reusable state for AES-256-GCM; not Sendable.
final class GCMContext {
  static let keyBytes = 32
  static let nonceBytes = 12
  static let tagBytes = 16

  // Fetched once for the process; afterwards only read.
  private nonisolated(unsafe) static let algorithm = EVP_CIPHER_fetch(nil, "AES-256-GCM", nil)

  private let sealing: OpaquePointer
  private let opening: OpaquePointer

  init() {
    guard let sealing = EVP_CIPHER_CTX_new(), let opening = EVP_CIPHER_CTX_new(),
      EVP_EncryptInit_ex2(sealing, Self.algorithm, nil, nil, nil) == 1,
      EVP_DecryptInit_ex2(opening, Self.algorithm, nil, nil, nil) == 1
    else { preconditionFailure("no AES-256-GCM") }
    self.sealing = sealing
    self.opening = opening
  }

  deinit {
    EVP_CIPHER_CTX_free(sealing)
    EVP_CIPHER_CTX_free(opening)
  }

  /// Writes the ciphertext and then the tag into `output`, 16 bytes longer than `plaintext`.
  func seal(
    _ plaintext: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer,
    nonce: UnsafeRawBufferPointer, authenticating header: UnsafeRawBufferPointer,
    into output: UnsafeMutableRawBufferPointer
  ) {
    precondition(key.count == Self.keyBytes && nonce.count == Self.nonceBytes)
    precondition(output.count == plaintext.count + Self.tagBytes)
    let target = output.bindMemory(to: UInt8.self).baseAddress
    var count: Int32 = 0
    var good = EVP_EncryptInit_ex2(sealing, nil, bytes(key), bytes(nonce), nil) == 1
    good = good && EVP_EncryptUpdate(sealing, nil, &count, bytes(header), Int32(header.count)) == 1
    if plaintext.count > 0 {
      let length = Int32(plaintext.count)
      good = good && EVP_EncryptUpdate(sealing, target, &count, bytes(plaintext), length) == 1
    }
    let end = target.map { $0 + plaintext.count }
    good = good && EVP_EncryptFinal_ex(sealing, end, &count) == 1
    good =
      good
      && EVP_CIPHER_CTX_ctrl(sealing, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagBytes), end) == 1
    precondition(good, "AES-256-GCM does not seal")
  }

  /// Writes the plaintext of `sealed` (ciphertext, then tag) into `output`, 16 bytes shorter;
  /// false, and zeroes in `output`, when the tag does not fit.
  func open(
    _ sealed: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer,
    nonce: UnsafeRawBufferPointer, authenticating header: UnsafeRawBufferPointer,
    into output: UnsafeMutableRawBufferPointer
  ) -> Bool {
    precondition(key.count == Self.keyBytes && nonce.count == Self.nonceBytes)
    precondition(sealed.count >= Self.tagBytes && output.count == sealed.count - Self.tagBytes)
    let target = output.bindMemory(to: UInt8.self).baseAddress
    var count: Int32 = 0
    var good = EVP_DecryptInit_ex2(opening, nil, bytes(key), bytes(nonce), nil) == 1
    good = good && EVP_DecryptUpdate(opening, nil, &count, bytes(header), Int32(header.count)) == 1
    if output.count > 0 {
      let length = Int32(output.count)
      good = good && EVP_DecryptUpdate(opening, target, &count, bytes(sealed), length) == 1
    }
    let tag = UnsafeMutableRawPointer(mutating: sealed.baseAddress.map { $0 + output.count })
    good =
      good && EVP_CIPHER_CTX_ctrl(opening, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagBytes), tag) == 1
    var rest = (UInt64(0), UInt64(0))  // GCM writes nothing here, but wants a place
    let fits = withUnsafeMutableBytes(of: &rest) {
      EVP_DecryptFinal_ex(opening, $0.bindMemory(to: UInt8.self).baseAddress, &count) == 1
    }
    if !(good && fits) { wipe(output) }
    return good && fits
  }

  /// Overwrites the last key that a context holds.
  func forget() {
    let zeroes = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
    withUnsafeBytes(of: zeroes) { key in
      _ = EVP_EncryptInit_ex2(sealing, nil, bytes(key), nil, nil)
      _ = EVP_DecryptInit_ex2(opening, nil, bytes(key), nil, nil)
    }
  }

  private func bytes(_ buffer: UnsafeRawBufferPointer) -> UnsafePointer<UInt8>? {
    buffer.bindMemory(to: UInt8.self).baseAddress
  }
}
