// Signs and verifies with ECDSA over P-256 and SHA-256 (ES256, RFC 7518 section 3.4), through the
// system's OpenSSL. A signature is exactly r || s, 64 bytes; no other form is accepted.

import Bytes
import COpenSSL
import Clocks

/// The P-256 curve with SHA-256.
public enum P256 {
  /// Bytes of one coordinate, of a private scalar, of r and of s.
  public static let scalarBytes = 32
  /// Bytes of a signature, r || s.
  public static let signatureBytes = 64

  /// An owned `EVP_PKEY`. Read-only once made, and OpenSSL allows concurrent reading.
  fileprivate final class Handle: @unchecked Sendable {
    let key: OpaquePointer
    init(_ key: OpaquePointer) { self.key = key }
    deinit { EVP_PKEY_free(key) }
  }

  /// The half that verifies.
  public struct PublicKey: Sendable {
    /// The point's coordinates, 32 bytes each.
    public let x: [UInt8]
    public let y: [UInt8]
    fileprivate let handle: Handle

    /// A key from its coordinates; refused unless the point is on the curve.
    public init(x: [UInt8], y: [UInt8]) throws(JOSEError) {
      guard x.count == scalarBytes, y.count == scalarBytes else { throw .keyMalformed }
      let der = DER.publicKeyPrefix + [4] + x + y
      let parsed = der.withUnsafeBufferPointer { bytes -> OpaquePointer? in
        var cursor = bytes.baseAddress
        return d2i_PUBKEY(nil, &cursor, bytes.count)
      }
      guard let parsed else {
        ERR_clear_error()
        throw .keyMalformed
      }
      self.x = x
      self.y = y
      handle = Handle(parsed)
    }

    /// Whether `signature` is this key's over `message`.
    public func verifies(
      _ signature: UnsafeRawBufferPointer, over message: UnsafeRawBufferPointer
    ) -> Bool {
      guard let der = DER.signature(fromRaw: signature), let context = EVP_MD_CTX_new() else {
        return false
      }
      defer { EVP_MD_CTX_free(context) }
      guard EVP_DigestVerifyInit(context, nil, EVP_sha256(), nil, handle.key) == 1 else {
        ERR_clear_error()
        return false
      }
      let outcome = EVP_DigestVerify(
        context, der, der.count, message.assumingMemoryBound(to: UInt8.self).baseAddress,
        message.count)
      if outcome != 1 { ERR_clear_error() }
      return outcome == 1
    }

    /// Whether `signature` is this key's over `message`.
    public func verifies(_ signature: [UInt8], over message: [UInt8]) -> Bool {
      signature.withUnsafeBytes { signature in
        message.withUnsafeBytes { verifies(signature, over: $0) }
      }
    }
  }

  /// The half that signs.
  public struct PrivateKey: Sendable {
    /// The other half.
    public let publicKey: PublicKey
    private let handle: Handle

    /// A fresh key.
    public static func generate() -> PrivateKey {
      while true {  // a scalar outside 1...n-1 has probability 2^-32: draw again
        var scalar = Randomness.bytes(count: scalarBytes)
        defer { scalar.withUnsafeMutableBytes { wipe($0) } }
        if let key = try? PrivateKey(scalar: scalar) { return key }
      }
    }

    /// A key from its private scalar; the public half is computed.
    public init(scalar: [UInt8]) throws(JOSEError) {
      guard let point = Self.point(of: scalar) else { throw .keyMalformed }
      try self.init(scalar: scalar, publicKey: PublicKey(x: point.x, y: point.y))
    }

    /// A key from both halves; refused when they do not belong together.
    public init(scalar: [UInt8], publicKey: PublicKey) throws(JOSEError) {
      guard let point = Self.point(of: scalar),
        point.x == publicKey.x, point.y == publicKey.y
      else { throw .keyMalformed }
      var der = DER.privateKey(scalar: scalar, x: point.x, y: point.y)
      defer { der.withUnsafeMutableBytes { wipe($0) } }
      let parsed = der.withUnsafeBufferPointer { bytes -> OpaquePointer? in
        var cursor = bytes.baseAddress
        return d2i_PrivateKey(EVP_PKEY_EC, nil, &cursor, bytes.count)
      }
      guard let parsed else {
        ERR_clear_error()
        throw .keyMalformed
      }
      handle = Handle(parsed)
      self.publicKey = publicKey
    }

    /// The private scalar, for the key file alone; the caller wipes it.
    public func exportScalar() -> [UInt8] {
      var number: OpaquePointer?
      guard EVP_PKEY_get_bn_param(handle.key, "priv", &number) == 1, let number else {
        preconditionFailure("a private key without a scalar")
      }
      defer { BN_clear_free(number) }
      var scalar = [UInt8](repeating: 0, count: scalarBytes)
      let written = BN_bn2binpad(number, &scalar, Int32(scalarBytes))
      precondition(written == Int32(scalarBytes))
      return scalar
    }

    /// The 64 bytes r || s over `message`.
    public func sign(_ message: [UInt8]) -> [UInt8] {
      guard let context = EVP_MD_CTX_new() else { preconditionFailure("out of memory") }
      defer { EVP_MD_CTX_free(context) }
      var der = [UInt8](repeating: 0, count: 80)  // a DER signature has at most 72 bytes
      var length = der.count
      guard EVP_DigestSignInit(context, nil, EVP_sha256(), nil, handle.key) == 1,
        EVP_DigestSign(context, &der, &length, message, message.count) == 1,
        let raw = DER.rawSignature(from: der, count: length)
      else { preconditionFailure("signing failed with a checked key") }
      return raw
    }

    private static func point(of scalar: [UInt8]) -> (x: [UInt8], y: [UInt8])? {
      guard scalar.count == scalarBytes,
        let group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1)
      else { return nil }
      defer { EC_GROUP_free(group) }
      guard let number = BN_secure_new(), let point = EC_POINT_new(group) else { return nil }
      defer {
        BN_clear_free(number)
        EC_POINT_free(point)
      }
      guard BN_bin2bn(scalar, Int32(scalarBytes), number) != nil, BN_is_zero(number) == 0,
        let order = EC_GROUP_get0_order(group), BN_cmp(number, order) < 0,
        EC_POINT_mul(group, point, number, nil, nil, nil) == 1
      else { return nil }
      var bytes = [UInt8](repeating: 0, count: 65)
      let written = EC_POINT_point2oct(
        group, point, POINT_CONVERSION_UNCOMPRESSED, &bytes, bytes.count, nil)
      guard written == 65 else { return nil }
      return (Array(bytes[1..<33]), Array(bytes[33..<65]))
    }
  }

  /// The few DER shapes that OpenSSL reads and writes.
  private enum DER {
    /// SubjectPublicKeyInfo of a P-256 key up to the point.
    static let publicKeyPrefix: [UInt8] = [
      0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
      0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ]

    /// ECPrivateKey (RFC 5915) with the named curve and the point.
    static func privateKey(scalar: [UInt8], x: [UInt8], y: [UInt8]) -> [UInt8] {
      let curve: [UInt8] = [
        0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
      ]
      return [0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20] + scalar + curve
        + [0xa1, 0x44, 0x03, 0x42, 0x00, 0x04] + x + y
    }

    /// The DER form of r || s; nil unless it is 64 bytes long.
    static func signature(fromRaw raw: UnsafeRawBufferPointer) -> [UInt8]? {
      guard raw.count == signatureBytes else { return nil }
      let r = integer(raw[0..<scalarBytes])
      let s = integer(raw[scalarBytes..<signatureBytes])
      return [0x30, UInt8(r.count + s.count)] + r + s
    }

    private static func integer(_ bytes: Slice<UnsafeRawBufferPointer>) -> [UInt8] {
      let significant = bytes.drop { $0 == 0 }
      var body = Array(significant)
      if body.isEmpty || body[0] >= 0x80 { body.insert(0, at: 0) }
      return [0x02, UInt8(body.count)] + body
    }

    /// r || s of a DER signature that OpenSSL just wrote.
    static func rawSignature(from der: [UInt8], count: Int) -> [UInt8]? {
      let parsed = der.withUnsafeBufferPointer { bytes -> OpaquePointer? in
        var cursor = bytes.baseAddress
        return d2i_ECDSA_SIG(nil, &cursor, count)
      }
      guard let parsed else { return nil }
      defer { ECDSA_SIG_free(parsed) }
      var raw = [UInt8](repeating: 0, count: signatureBytes)
      let written = raw.withUnsafeMutableBufferPointer { target -> Bool in
        guard let base = target.baseAddress else { return false }
        let half = Int32(scalarBytes)
        return BN_bn2binpad(ECDSA_SIG_get0_r(parsed), base, half) == half
          && BN_bn2binpad(ECDSA_SIG_get0_s(parsed), base + scalarBytes, half) == half
      }
      return written ? raw : nil
    }
  }
}
