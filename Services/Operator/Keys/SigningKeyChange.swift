// `bindery generate-key --signing`: puts a fresh key behind those that sign tokens, and takes the old
// ones out when no token can need them any more. When that is, the database tells: auth writes down
// when it published a key, and signs with no older one from then on.

import Accounts
import Bytes
import Clocks
import Configuration
import Glibc
import JOSE
import Vault

/// A change of the file of signing keys.
struct SigningKeyChange {
  /// The longest life of what these keys sign, and what clocks may differ by.
  static let tokenSecondsMax = ResetLife.secondsMax + 60

  /// What is asked for.
  enum Wish { case add, removeOld, removeAllOld }

  let wish: Wish

  init(_ arguments: inout Arguments) throws(CommandFailure) {
    let removes = arguments.flag("--remove-old")
    let atOnce = arguments.flag("--at-once")
    try arguments.finish()
    guard removes || !atOnce else { throw .usage("--at-once goes with --remove-old") }
    wish = removes ? (atOnce ? .removeAllOld : .removeOld) : .add
  }

  func run(_ console: Console, isJSON: Bool) throws(CommandFailure) -> ExitStatus {
    let common = try OperatorSettings.read(.take()).common
    let path = common.signingKeysPath
    let lock = try KeysFileLock(path)
    defer { withExtendedLifetime(lock) {} }
    let keys = try Self.read(path)
    let ids = keys.publicKeys.map(\.keyID)
    var text: [UInt8]
    switch wish {
    case .add: text = keys.fileAddingKey()
    case .removeAllOld: text = keys.file(droppingFirst: ids.count - 1)
    case .removeOld:
      let count = Self.outlived(ids, published: try Self.published(common.dataDirectory), at: .now)
      guard count > 0 else {
        throw .failed(
          "no old key may go yet: one may when auth has signed with a newer one for "
            + "\(Self.tokenSecondsMax / 60) minutes")
      }
      text = keys.file(droppingFirst: count)
    }
    do throws(KeyFileError) { try KeyFile.replace(path, contents: Secret(wiping: &text)) } catch {
      throw .failed("the keys file is as it was, for it could not be written: \(error)")
    }
    tell(try Self.read(path).publicKeys.map(\.keyID), console, isJSON: isJSON)
    return .good
  }

  /// How many of these keys, oldest first, signed nothing that may still hold: those whose successor
  /// is out for longer than a token lives.
  static func outlived(_ ids: [String], published: [PublishedKey], at now: UnixTime) -> Int {
    ids.dropFirst().prefix { id in
      published.contains {
        $0.keyID.utf8.elementsEqual(id.utf8)
          && $0.addedAt.advanced(bySeconds: tokenSecondsMax) <= now
      }
    }.count
  }

  private static func read(_ path: String) throws(CommandFailure) -> SigningKeys {
    let text: Secret
    do throws(KeyFileError) {
      text = try KeyFile.read(path, anyOwner: geteuid() == 0)
    } catch { throw .fileRefused(KeysFile.problem(error)) }
    var bytes = text.withBytes { [UInt8]($0) }
    defer { bytes.withUnsafeMutableBytes { wipe($0) } }
    do throws(JOSEError) { return try SigningKeys(file: bytes) } catch {
      throw .fileRefused("the file of signing keys is not sound")
    }
  }

  private static func published(_ directory: String) throws(CommandFailure) -> [PublishedKey] {
    do throws(AccountError) {
      return try PublishedKey.all(in: Records.open(.bindery, in: directory))
    } catch { throw Records.failure(error) }
  }

  private func tell(_ ids: [String], _ console: Console, isJSON: Bool) {
    guard !isJSON else {
      return console.write(
        JSONValue.object([("keys", .array(ids.map { .text($0) }))]).text + "\n")
    }
    let active = ids.last ?? ""
    switch wish {
    case .add:
      console.write("\(active) signs when auth has read the file: send it SIGHUP\n")
    case .removeOld, .removeAllOld:
      console.write("\(ids.count) left, \(active) signs: send auth SIGHUP\n")
    }
  }
}
