// Hashes passwords with scrypt (RFC 7914). The parameters are stored beside each hash, so that they
// can rise later; an unknown account costs the same work as a wrong password. Blocking by nature:
// PasswordChecker runs it on its own threads.

import Accounts
import Bytes
import COpenSSL
import Clocks

/// scrypt with parameters.
enum PasswordHash {
  /// 32 MiB and about a quarter of a second of one core.
  static let costN: UInt64 = 1 << 15
  static let costR: UInt64 = 8
  static let costP: UInt64 = 3
  static let saltBytes = 16
  static let hashBytes = 32
  private static let memoryBytesMax: UInt64 = 512 << 20

  /// A fresh hash of `password` with today's parameters.
  static func make(_ password: borrowing Secret) -> StoredPassword {
    make(
      password, salt: Randomness.bytes(count: saltBytes), n: costN, r: costR, p: costP)
  }

  static func make(
    _ password: borrowing Secret, salt: [UInt8], n: UInt64, r: UInt64, p: UInt64
  ) -> StoredPassword {
    let hash = derive(password, salt: salt, n: n, r: r, p: p, count: hashBytes)
    return StoredPassword(costN: n, costR: r, costP: p, salt: salt, hash: hash)
  }

  /// Whether `password` is the one that `stored` was made of.
  static func matches(_ password: borrowing Secret, _ stored: StoredPassword) -> Bool {
    let hash = derive(
      password, salt: stored.salt, n: stored.costN, r: stored.costR, p: stored.costP,
      count: stored.hash.count)
    return constantTimeEqual(hash, stored.hash)
  }

  /// What is compared when there is no such account: costs the same, never matches.
  static let ofNobody = StoredPassword(
    costN: costN, costR: costR, costP: costP, salt: [UInt8](repeating: 0, count: saltBytes),
    hash: Randomness.bytes(count: hashBytes))

  /// Whether the parameters are not today's.
  static func isOutdated(_ stored: StoredPassword) -> Bool {
    (stored.costN, stored.costR, stored.costP) != (costN, costR, costP)
  }

  private static func derive(
    _ password: borrowing Secret, salt: [UInt8], n: UInt64, r: UInt64, p: UInt64, count: Int
  ) -> [UInt8] {
    var hash = [UInt8](repeating: 0, count: count)
    let done = password.withBytes { bytes in
      EVP_PBE_scrypt(
        bytes.assumingMemoryBound(to: CChar.self).baseAddress, bytes.count, salt, salt.count, n, r,
        p, memoryBytesMax, &hash, count)
    }
    precondition(done == 1, "scrypt failed with checked parameters")
    return hash
  }
}
