// Seals small values under what somebody carries: JSON inside, a ticket as the key. Their forms are
// private to this service and live for minutes, so a value that does not read is as good as none.

import Bytes
import FoundationEssentials
import StrictJSON
import Vault

/// Values under tickets.
enum TicketBox {
  /// The most bytes of a value; what providers tell us about themselves is shorter.
  static let bytesMax = 48 * 1024

  /// `value` under `ticket`; nil when it is too long.
  static func seal(
    _ value: some Encodable, under ticket: Ticket, at context: SealContext
  ) -> [UInt8]? {
    guard var bytes = (try? JSONEncoder().encode(value)).map({ [UInt8]($0) }),
      bytes.count <= bytesMax
    else { return nil }
    let secret = Secret(wiping: &bytes)
    return secret.withBytes { SealEngine().seal($0, under: ticket, context: context) }
  }

  /// The value in `sealed`; nil when it does not open or does not read.
  static func open<Value: Decodable>(
    _ sealed: [UInt8], as _: Value.Type, under ticket: Ticket, at context: SealContext
  ) -> Value? {
    guard let secret = try? SealEngine().open(sealed, under: ticket, context: context) else {
      return nil
    }
    var bytes = secret.withBytes { [UInt8]($0) }
    defer { bytes.withUnsafeMutableBytes { wipe($0) } }
    guard isWellFormed(bytes) else { return nil }
    return try? JSONDecoder().decode(Value.self, from: Data(bytes))
  }
}
