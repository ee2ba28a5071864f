// Verifies RS256 (RSASSA-PKCS1-v1_5 with SHA-256, RFC 7518 section 3.3) through the system's OpenSSL.
// Keys are public and somebody else's: those that are short, degenerate, or of the ROCA kind, whose
// private half can be computed, are refused. Nothing here signs.

import COpenSSL

/// RSA with SHA-256.
public enum RSA {
  /// The least and the most bits of a modulus.
  public static let modulusBitsMin = 2048
  public static let modulusBitsMax = 8192

  /// An owned `EVP_PKEY`. Read-only once made, and OpenSSL allows concurrent reading.
  private final class Handle: @unchecked Sendable {
    let key: OpaquePointer
    init(_ key: OpaquePointer) { self.key = key }
    deinit { EVP_PKEY_free(key) }
  }

  /// The half that verifies.
  public struct PublicKey: Sendable {
    private let handle: Handle
    private let modulusBytes: Int

    /// A key from modulus and exponent, big-endian without leading zeros.
    public init(modulus: [UInt8], exponent: [UInt8]) throws(JOSEError) {
      guard let first = modulus.first, first != 0, let last = modulus.last, last & 1 == 1,
        (1...8).contains(exponent.count), exponent[0] != 0, let low = exponent.last, low & 1 == 1,
        exponent != [1], modulus.count <= RSA.modulusBitsMax / 8
      else { throw .keyMalformed }
      let bits = modulus.count * 8 - first.leadingZeroBitCount
      guard bits >= RSA.modulusBitsMin, !ROCA.fits(modulus) else { throw .keyMalformed }
      let der = DER.publicKey(modulus: modulus, exponent: exponent)
      let parsed = der.withUnsafeBufferPointer { bytes -> OpaquePointer? in
        var cursor = bytes.baseAddress
        return d2i_PUBKEY(nil, &cursor, bytes.count)
      }
      guard let parsed else {
        ERR_clear_error()
        throw .keyMalformed
      }
      handle = Handle(parsed)
      modulusBytes = modulus.count
    }

    /// Whether `signature` is this key's over `message`. A signature is as long as the modulus.
    public func verifies(_ signature: [UInt8], over message: [UInt8]) -> Bool {
      guard signature.count == modulusBytes, let context = EVP_MD_CTX_new() else { return false }
      defer { EVP_MD_CTX_free(context) }
      guard EVP_DigestVerifyInit(context, nil, EVP_sha256(), nil, handle.key) == 1 else {
        ERR_clear_error()
        return false
      }
      let outcome = EVP_DigestVerify(
        context, signature, signature.count, message, message.count)
      if outcome != 1 { ERR_clear_error() }
      return outcome == 1
    }
  }

  /// The one DER shape that OpenSSL reads.
  private enum DER {
    /// SubjectPublicKeyInfo with rsaEncryption (RFC 8017, appendix A.1).
    static func publicKey(modulus: [UInt8], exponent: [UInt8]) -> [UInt8] {
      let key = element(0x30, integer(modulus) + integer(exponent))
      let algorithm: [UInt8] = [
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
      ]
      return element(0x30, algorithm + element(0x03, [0] + key))
    }

    private static func integer(_ bytes: [UInt8]) -> [UInt8] {
      element(0x02, bytes[0] >= 0x80 ? [0] + bytes : bytes)
    }

    private static func element(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
      switch content.count {
      case ..<0x80: [tag, UInt8(content.count)] + content
      case ..<0x100: [tag, 0x81, UInt8(content.count)] + content
      default: [tag, 0x82, UInt8(content.count >> 8), UInt8(content.count & 0xff)] + content
      }
    }
  }

  /// Keys whose primes came from the flawed generator of Infineon's library (CVE-2017-15361): their
  /// modulus is a power of 65537 modulo every small prime, which chance gives one key in 2^27.
  private enum ROCA {
    private static let primes: [Int] = [
      3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
      101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ]

    static func fits(_ modulus: [UInt8]) -> Bool {
      primes.allSatisfy { prime in
        let rest = modulus.reduce(0) { ($0 * 256 + Int($1)) % prime }
        var power = 1
        repeat {
          if power == rest { return true }
          power = power * 65537 % prime
        } while power != 1
        return false
      }
    }
  }
}
