// Nonces for the support form: each lets one ticket through, within five minutes. They are in memory
// alone: after a restart a form asks for another. Pure but for the dice; bounded.

import Accounts
import Clocks

/// What a nonce stands for.
enum SupportNonceKind {}

/// Nonces that were given and not used.
struct SupportNonces {
  static let life = Duration.seconds(300)
  static let countMax = 10_000

  private var ends: [String: Instant] = [:]

  /// How many wait to be used.
  var count: Int { ends.count }

  /// A fresh nonce; nil when too many wait.
  mutating func make(now: Instant) -> String? {
    if ends.count >= Self.countMax { ends = ends.filter { $0.value > now } }
    guard ends.count < Self.countMax else { return nil }
    let nonce = Identifier<SupportNonceKind>.random().text
    ends[nonce] = now.advanced(by: Self.life)
    return nonce
  }

  /// Whether `nonce` was given and is good; it is used then.
  mutating func use(_ nonce: String, now: Instant) -> Bool {
    // Only an exact spelling finds it: keys of a dictionary are equal in more ways than bytes are.
    guard Identifier<SupportNonceKind>(nonce) != nil, let end = ends.removeValue(forKey: nonce)
    else { return false }
    return end > now
  }
}
