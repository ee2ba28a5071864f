// SHA-256 in one call, for what is stored or compared by its digest. No secret key goes in here:
// those have Vault's contexts.

import COpenSSL

/// SHA-256.
public enum SHA256Digest {
  /// The 32 bytes of the text's UTF-8.
  public static func of(_ text: String) -> [UInt8] {
    var text = text
    return text.withUTF8 { of(UnsafeRawBufferPointer($0)) }
  }

  /// The 32 bytes of `bytes`.
  public static func of(_ bytes: [UInt8]) -> [UInt8] {
    bytes.withUnsafeBytes { of($0) }
  }

  /// The 32 bytes of `bytes`.
  public static func of(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    let done = EVP_Digest(bytes.baseAddress, bytes.count, &digest, nil, EVP_sha256(), nil)
    precondition(done == 1, "SHA-256 is not available")
    return digest
  }
}
